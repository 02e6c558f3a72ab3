//! The sides of a comparison: who judges, in which namespace, and by which process.

/// Who judges a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Nobody.
    None,
    /// The do-nothing pair.
    Noop,
    /// A MutatingAdmissionPolicy and a ValidatingAdmissionPolicy, inside the API server.
    Policies,
    /// Gatekeeper's pair.
    Gatekeeper,
    /// Sluice's pair, in a namespace without a quota.
    Sluice,
    /// The in-tree ResourceQuota on the number of objects, and no webhook.
    InTree,
    /// The in-tree ResourceQuota behind one do-nothing webhook, a validating one.
    InTreeOne,
    /// The in-tree ResourceQuota behind the do-nothing pair.
    InTreeNoop,
    /// Gatekeeper's pair, with a sum over its copy of the namespace beside the rules.
    GatekeeperQuota,
    /// Sluice's pair, in a namespace with a CpuQuota.
    SluiceQuota,
}

impl Side {
    /// All of them.
    pub const ALL: [Side; 10] = [
        Side::None,
        Side::Noop,
        Side::Policies,
        Side::Gatekeeper,
        Side::Sluice,
        Side::InTree,
        Side::InTreeOne,
        Side::InTreeNoop,
        Side::GatekeeperQuota,
        Side::SluiceQuota,
    ];

    /// The namespace in which this side judges.
    pub fn namespace(self) -> &'static str {
        match self {
            Side::None => "bench-none",
            Side::Noop => "bench-noop",
            Side::Policies => "bench-policies",
            Side::Gatekeeper => "bench-gatekeeper",
            Side::Sluice => "bench-sluice",
            Side::InTree => "bench-quota-intree",
            Side::InTreeOne => "bench-quota-intree-one",
            Side::InTreeNoop => "bench-quota-intree-noop",
            Side::GatekeeperQuota => "bench-quota-gatekeeper",
            Side::SluiceQuota => "bench-quota-sluice",
        }
    }

    /// For the table.
    pub fn title(self) -> &'static str {
        match self {
            Side::None => "no admission",
            Side::Noop => "do-nothing pair",
            Side::Policies => "CEL policies in the API server",
            Side::Gatekeeper => "Gatekeeper",
            Side::Sluice => "Sluice",
            Side::InTree => "in-tree ResourceQuota",
            Side::InTreeOne => "in-tree ResourceQuota and one do-nothing webhook",
            Side::InTreeNoop => "in-tree ResourceQuota and do-nothing pair",
            Side::GatekeeperQuota => "Gatekeeper with a sum over its copy",
            Side::SluiceQuota => "Sluice with a CpuQuota",
        }
    }

    /// The name of the process that judges, where it is one of its own.
    pub fn judge(self) -> Option<&'static str> {
        match self {
            Side::None | Side::Policies | Side::InTree => None,
            Side::Noop | Side::InTreeOne | Side::InTreeNoop => Some("noop-webhook"),
            Side::Gatekeeper | Side::GatekeeperQuota => Some("gatekeeper"),
            Side::Sluice | Side::SluiceQuota => Some("webhook-0"),
        }
    }

    /// Whether Sluice judges here.
    pub fn is_sluices(self) -> bool {
        matches!(self, Side::Sluice | Side::SluiceQuota)
    }

    /// Whether Gatekeeper judges here.
    pub fn is_gatekeepers(self) -> bool {
        matches!(self, Side::Gatekeeper | Side::GatekeeperQuota)
    }

    /// Whether the do-nothing pair is called here.
    pub fn is_noops(self) -> bool {
        matches!(self, Side::Noop | Side::InTreeNoop)
    }

    /// The namespaces of some of them.
    pub fn namespaces(of: impl Fn(Side) -> bool) -> Vec<&'static str> {
        Side::ALL
            .into_iter()
            .filter(|side| of(*side))
            .map(Side::namespace)
            .collect()
    }
}
