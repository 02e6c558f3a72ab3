//! What objects are made from, whatever kind asks for it. Reads specs with the parsers of admission, so what was admitted
//! can be made; what was stored without admission ends in a [`BuildError`] that names the field.

use std::collections::BTreeMap;

use serde_json::Value;
use sluice_api::{
    Artifact, ComponentResources, DeploymentTemplateSpec, KubernetesOptions, Logging, Object,
    Plugin, Scalar, SessionCluster,
};
use sluice_policy::MilliCpu;
use sluice_policy::flink::FlinkVersion;
use sluice_policy::quantity::{Bytes, flink_memory};

use super::application::Application;
use super::names::{Names, Role};
use super::{BuildError, start_id};

/// Whom objects are made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its kind, such as `SessionCluster`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Owner {
    /// A SessionCluster.
    pub fn session_cluster(cluster: &SessionCluster) -> Self {
        Self {
            kind: "SessionCluster",
            namespace: cluster.metadata.namespace.clone().unwrap_or_default(),
            name: cluster.metadata.name.clone().unwrap_or_default(),
            uid: cluster.metadata.uid.clone().unwrap_or_default(),
        }
    }
}

/// What one pod of a role gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleResources {
    /// CPU.
    pub cpu: MilliCpu,
    /// Memory of the whole process.
    pub memory: Bytes,
    /// Local disk, where limited.
    pub ephemeral_storage: Option<Bytes>,
}

/// A Flink cluster to be: one JobManager, TaskManagers, and what they share.
#[derive(Clone, Debug)]
pub struct FlinkCluster<'a> {
    /// Whom it is made for.
    pub owner: Owner,
    /// Names of its objects.
    pub names: Names,
    /// The namespace that its objects lie in.
    pub namespace: String,
    /// Flink's version.
    pub version: FlinkVersion,
    /// The image, with registry and tag or digest.
    pub image: String,
    /// Number of TaskManagers.
    pub task_managers: u32,
    /// The JobManager's resources.
    pub jobmanager: RoleResources,
    /// Each TaskManager's resources.
    pub taskmanager: RoleResources,
    /// Flink's options as users wrote them, with defaults filled in.
    pub configuration: BTreeMap<String, String>,
    /// What is logged.
    pub logging: Option<&'a Logging>,
    /// Files of logging configuration, by name.
    pub log_files: BTreeMap<String, String>,
    /// Jars for both roles' class path.
    pub jars: &'a [String],
    /// Plugins.
    pub plugins: &'a [Plugin],
    /// Labels and pod settings.
    pub kubernetes: Option<&'a KubernetesOptions>,
    /// The job that the JobManager brings along; `None`: it is sent some later.
    pub application: Option<Application>,
    /// What its high availability keeps it apart by ([`start_id`]); `None`: it needs nothing such, or it runs without, since an earlier release of
    /// Sluice has started it.
    pub start_id: Option<String>,
}

impl<'a> FlinkCluster<'a> {
    /// Of a SessionCluster whose pods run in `namespace`, with so many TaskManagers.
    pub fn of_session_cluster(
        cluster: &'a SessionCluster,
        namespace: &str,
        task_managers: u32,
    ) -> Result<Self, BuildError> {
        let spec = &cluster.spec;
        let owner = Owner::session_cluster(cluster);
        let version = version(spec.flink_version.as_ref())?;
        let resources = spec.resources.as_ref();
        Ok(Self {
            names: Names::of_session_cluster(&owner.name),
            owner,
            namespace: namespace.to_owned(),
            version,
            image: image(
                spec.flink_image_registry.as_deref(),
                spec.flink_image_repository.as_deref(),
                spec.flink_image_tag.as_ref(),
                spec.flink_version.as_ref(),
            ),
            task_managers,
            jobmanager: role_resources(
                resources.and_then(|resources| resources.jobmanager.as_ref()),
                Role::JobManager,
            )?,
            taskmanager: role_resources(
                resources.and_then(|resources| resources.taskmanager.as_ref()),
                Role::TaskManager,
            )?,
            configuration: flat(spec.flink_configuration.as_ref(), "spec.flinkConfiguration")?,
            logging: spec.logging.as_ref(),
            log_files: flat(spec.log_configuration.as_ref(), "spec.logConfiguration")?,
            jars: spec.jars.as_deref().unwrap_or_default(),
            plugins: spec.plugins.as_deref().unwrap_or_default(),
            kubernetes: spec.kubernetes.as_ref(),
            application: None,
            start_id: None,
        })
    }

    /// Of a run of the Deployment `owner`, whose pods run in `namespace`.
    pub fn of_run(
        owner: Owner,
        namespace: &str,
        template: &'a DeploymentTemplateSpec,
        application: Application,
    ) -> Result<Self, BuildError> {
        const AT: &str = "spec.template.spec";
        let artifact = template.artifact.as_ref();
        let scalar = |of: fn(&Artifact) -> Option<&Scalar>| artifact.and_then(of);
        let text = |of: fn(&Artifact) -> Option<&String>| artifact.and_then(of).map(String::as_str);
        let written = scalar(|artifact| artifact.flink_version.as_ref());
        let version = version(written).map_err(|error| {
            BuildError::new(format!("{AT}.artifact.flinkVersion"), error.message)
        })?;
        let resources = template.resources.as_ref();
        let below = |error: BuildError| {
            let field = error.field.strip_prefix("spec.").unwrap_or(&error.field);
            BuildError::new(format!("{AT}.{field}"), error.message)
        };
        let mut configuration = flat(
            template.flink_configuration.as_ref(),
            &format!("{AT}.flinkConfiguration"),
        )?;
        let parallelism = template.parallelism.unwrap_or(1).max(1);
        configuration.insert("parallelism.default".into(), parallelism.to_string());
        let slots = configuration
            .get("taskmanager.numberOfTaskSlots")
            .and_then(|slots| slots.trim().parse().ok())
            .unwrap_or(1)
            .max(1);
        let needed = u32::try_from(parallelism).unwrap_or(1).div_ceil(slots);
        let task_managers = template.number_of_task_managers;
        let is_other = HighAvailability::of(&configuration) == HighAvailability::Other;
        let start_id = is_other.then(|| start_id::of_run(&application));
        Ok(Self {
            names: Names::of_deployment(&owner.name),
            owner,
            namespace: namespace.to_owned(),
            version,
            image: image(
                text(|artifact| artifact.flink_image_registry.as_ref()),
                text(|artifact| artifact.flink_image_repository.as_ref()),
                scalar(|artifact| artifact.flink_image_tag.as_ref()),
                written,
            ),
            task_managers: task_managers
                .map_or(needed, |number| u32::try_from(number).unwrap_or_default()),
            jobmanager: role_resources(
                resources.and_then(|resources| resources.jobmanager.as_ref()),
                Role::JobManager,
            )
            .map_err(below)?,
            taskmanager: role_resources(
                resources.and_then(|resources| resources.taskmanager.as_ref()),
                Role::TaskManager,
            )
            .map_err(below)?,
            configuration,
            logging: template.logging.as_ref(),
            log_files: BTreeMap::new(),
            jars: &[],
            plugins: &[],
            kubernetes: template.kubernetes.as_ref(),
            start_id,
            application: Some(application),
        })
    }

    /// A role's resources.
    pub fn resources(&self, role: Role) -> RoleResources {
        match role {
            Role::JobManager => self.jobmanager,
            Role::TaskManager => self.taskmanager,
        }
    }

    /// An option of Flink that the user has set, without surrounding blanks.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.configuration.get(key).map(|value| value.trim())
    }

    /// Whether JobManagers are to survive their own end, and how.
    pub fn high_availability(&self) -> HighAvailability {
        HighAvailability::of(&self.configuration)
    }
}

/// Whether JobManagers are to survive their own end, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HighAvailability {
    /// Not at all.
    None,
    /// By Kubernetes' ConfigMaps, for which pods need rights.
    Kubernetes,
    /// By something else, such as ZooKeeper.
    Other,
}

impl HighAvailability {
    /// What Flink's options say.
    fn of(configuration: &BTreeMap<String, String>) -> Self {
        let written = configuration
            .get("high-availability.type")
            .or_else(|| configuration.get("high-availability"));
        let written = written.map(|word| word.trim().to_ascii_lowercase());
        match written.as_deref() {
            None | Some("" | "none" | "standalone") => Self::None,
            Some(word) if word == "kubernetes" || word.contains("kubernetesha") => Self::Kubernetes,
            Some(_) => Self::Other,
        }
    }

    /// What a SessionCluster's options say, whatever else there is to its spec. Options that cannot be read were never run with.
    pub fn of_session_cluster(cluster: &SessionCluster) -> Self {
        let written = cluster.spec.flink_configuration.as_ref();
        flat(written, "spec.flinkConfiguration").map_or(Self::None, |all| Self::of(&all))
    }
}

fn version(written: Option<&Scalar>) -> Result<FlinkVersion, BuildError> {
    let field = "spec.flinkVersion";
    let Some(written) = written else {
        return Err(BuildError::new(
            field,
            "is needed to run; write it in quotes, such as \"1.20\"",
        ));
    };
    let text = written.text().unwrap_or_default();
    FlinkVersion::parse(&text).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        BuildError::new(
            field,
            format!("\"{shown}\" is no version of Flink; write major and minor, such as \"1.20\""),
        )
    })
}

/// `docker.io/library/flink:<flinkVersion>` unless said otherwise. A tag may be a digest, or a tag with a digest.
fn image(
    registry: Option<&str>,
    repository: Option<&str>,
    tag: Option<&Scalar>,
    version: Option<&Scalar>,
) -> String {
    let given = |text: Option<&str>, default: &str| {
        text.filter(|text| !text.is_empty())
            .unwrap_or(default)
            .to_owned()
    };
    let registry = given(registry, "docker.io");
    let repository = given(repository, "library/flink");
    let tag = tag
        .and_then(Scalar::text)
        .filter(|tag| !tag.is_empty())
        .or_else(|| version.and_then(Scalar::text))
        .unwrap_or_default();
    let separator = if tag.starts_with("sha256:") { '@' } else { ':' };
    format!("{registry}/{repository}{separator}{tag}")
}

fn role_resources(
    written: Option<&ComponentResources>,
    role: Role,
) -> Result<RoleResources, BuildError> {
    let field = |key: &str| format!("spec.resources.{}.{key}", role.word());
    let default_memory = match role {
        Role::JobManager => Bytes(1 << 30),
        Role::TaskManager => Bytes(2 << 30),
    };
    let cpu = match written.and_then(|written| written.cpu.as_ref()) {
        None => MilliCpu(1000),
        Some(cpu) => MilliCpu::parse(&cpu.0)
            .map_err(|error| BuildError::new(field("cpu"), error.to_string()))?,
    };
    let size = |scalar: Option<&Scalar>, key: &str| {
        scalar
            .map(|scalar| {
                flink_memory(&scalar.text().unwrap_or_default())
                    .map_err(|error| BuildError::new(field(key), error.to_string()))
            })
            .transpose()
    };
    Ok(RoleResources {
        cpu,
        memory: size(
            written.and_then(|written| written.memory.as_ref()),
            "memory",
        )?
        .unwrap_or(default_memory),
        ephemeral_storage: size(
            written.and_then(|written| written.ephemeral_storage.as_ref()),
            "ephemeralStorage",
        )?,
    })
}

/// A map of texts; nested maps, which admission flattens, are flattened here too.
fn flat(written: Option<&Object>, field: &str) -> Result<BTreeMap<String, String>, BuildError> {
    /// No option of Flink has that many parts.
    const DEEPEST: usize = 32;
    let mut flat = BTreeMap::new();
    let mut rest: Vec<(String, usize, &Value)> = written
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), 1, value))
        .collect();
    while let Some((key, depth, value)) = rest.pop() {
        match value {
            Value::Null => {}
            Value::Object(inner) if depth < DEEPEST => rest.extend(
                inner
                    .iter()
                    .map(|(inner, value)| (format!("{key}.{inner}"), depth + 1, value)),
            ),
            _ => match sluice_policy::json::scalar_text(value) {
                Some(text) => {
                    flat.insert(key, text);
                }
                None => {
                    return Err(BuildError::new(
                        format!("{field}[\"{key}\"]"),
                        "must be a text or a number",
                    ));
                }
            },
        }
    }
    Ok(flat)
}
