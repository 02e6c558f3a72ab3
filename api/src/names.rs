//! Annotations, labels, finalizers and field managers: every name that Sluice puts on or reads from an object.
//!
//! Condition types are in `conditions`, reasons of events in `events`.

/// Annotations.
pub mod annotations {
    /// What was filled in: JSON object of JSON pointer to value (to `sha256:<hex>` for values over 64 bytes). Written by
    /// the mutating webhook (decision 5).
    pub const DEFAULTS: &str = "sluice.dev/defaults";
    /// The name as it was before it was made a DNS label, as `sluice convert` found it.
    pub const DISPLAY_NAME: &str = "sluice.dev/display-name";
    /// `"true"` in the same request lets a change through that makes the Apache operator recreate a session cluster, losing its
    /// jobs (decision 18).
    pub const ALLOW_RECREATE: &str = "sluice.dev/allow-recreate";
    /// Id of the hold that was fenced by this write. Written by the ledger's leader (decision 1).
    pub const FENCE: &str = "sluice.dev/fence";
    /// On made objects: hash of what they were made from. Another one means that they have to be made anew.
    pub const INPUT: &str = "sluice.dev/input";
    /// On made objects: hash of the object as it was made. It differs between versions of Sluice that make the same otherwise;
    /// that alone changes nothing that runs.
    pub const BUILT: &str = "sluice.dev/built";
    /// On made pods: hash of their configuration files, so that other files make other pods.
    pub const CONFIG: &str = "sluice.dev/config";
}

/// Labels.
pub mod labels {
    /// On a namespace: mode of the rules for running session clusters: `enforce`, `warn` or `off`.
    pub const MODE_IMMUTABILITY: &str = "sluice.dev/immutability";
    /// On a namespace: mode of CPU quotas: `enforce`, `warn` or `off`.
    pub const MODE_QUOTA: &str = "sluice.dev/quota";
    /// On a namespace: mode of defaults: `enforce`, `warn` or `off`.
    pub const MODE_DEFAULTS: &str = "sluice.dev/defaults";
    /// On a namespace: the namespaces whose DeploymentTargets may point here (decision 10).
    pub const ACCEPT_FROM: &str = "sluice.dev/accept-from";
    /// On the Apache operator's objects: `"true"` marks its own test objects, which always pass.
    pub const CANARY: &str = "flink.apache.org/canary";

    /// On made objects: kind of the object that they are made for, in lower case: `sessioncluster`, `deployment`.
    pub const OWNER_KIND: &str = "sluice.dev/owner-kind";
    /// On made objects: name of the object that they are made for.
    pub const OWNER_NAME: &str = "sluice.dev/owner-name";
    /// On made objects: namespace of the object that they are made for.
    pub const OWNER_NAMESPACE: &str = "sluice.dev/owner-namespace";
    /// On made objects: uid of the object that they are made for (they may lie in another namespace, where no owner reference
    /// reaches).
    pub const OWNER_UID: &str = "sluice.dev/owner-uid";
    /// On made objects: `jobmanager` or `taskmanager`.
    pub const COMPONENT: &str = "sluice.dev/component";
    /// On made objects of a Deployment: name of the Job of this run.
    pub const JOB: &str = "sluice.dev/job";
    /// On made objects: `sluice`, so that they can be found together.
    pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    /// Value of [`MANAGED_BY`].
    pub const MANAGED_BY_SLUICE: &str = "sluice";
    /// Value of [`COMPONENT`] for the JobManager.
    pub const JOBMANAGER: &str = "jobmanager";
    /// Value of [`COMPONENT`] for TaskManagers.
    pub const TASKMANAGER: &str = "taskmanager";

    /// Prefixes whose labels are Sluice's own: on made objects they win over what users write.
    pub const OWN_PREFIXES: &[&str] = &["sluice.dev/", "app.kubernetes.io/managed-by"];
}

/// Finalizers.
pub mod finalizers {
    /// Keeps an object until its pods are gone, in order, and its CPU is given back.
    pub const TEARDOWN: &str = "sluice.dev/teardown";
    /// Keeps a DeploymentTarget while something refers to it.
    pub const REFERENCED: &str = "sluice.dev/referenced";
}

/// Field managers of server-side apply and of updates.
pub mod field_managers {
    /// The webhook: `caBundle`, events on refusals.
    pub const WEBHOOK: &str = "sluice-webhook";
    /// The controller: status, finalizers, made objects.
    pub const CONTROLLER: &str = "sluice-controller";
    /// The ledger: status of quotas, fences.
    pub const LEDGER: &str = "sluice-ledger";
    /// Certificates: the CA Secret and `caBundle`.
    pub const CERTS: &str = "sluice-certs";
    /// The command line: CRDs and registrations that it installs.
    pub const CLI: &str = "sluice";
}

/// Longest name of a SessionCluster, SessionJob or Deployment, in characters: what is appended to it must still fit
/// into the 63 of a DNS label.
pub const MAX_NAME_CHARS: usize = 45;
