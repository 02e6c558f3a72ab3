//! What is observed of a cluster that is to run, taken together: which pods there are, what Flink says, what is missing.

use sluice_api::SessionClusterState;
use sluice_api::conditions::reasons;
use sluice_policy::ledger::Refusal as QuotaRefusal;

use super::decide::{Observed, is_same, task_managers};
use super::health::{Flink, Heard, Listen};
use crate::ledger::gate::Verdict;
use crate::objects::{Built, MadeKind, Role};
use crate::runtime::made::{Made, Pod, TroubleKind, Workload};
use crate::runtime::remaining;

/// After so many questions without an answer a JobManager counts as gone, although its pod says otherwise.
const PATIENCE: u32 = 3;

/// What is observed, taken together.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Why it may not grow, where it is asked to and may not. It then runs on with the TaskManagers that it has.
    pub growth: Option<Verdict>,
    /// TaskManagers that are worked towards.
    pub wanted: u32,
    /// TaskManagers that those leave room for whose pods are going.
    room: u32,
    /// TaskManagers that the Deployment has been told to have.
    pub told: Option<u32>,
    /// Pods of TaskManagers, those that are going among them. What has ended by itself holds no CPU and is none any more.
    pub pods: u32,
    /// TaskManagers that have registered.
    pub registered: Option<u32>,
    /// Whether the JobManager answers.
    pub jobmanager: JobManager,
    /// Its newest answer.
    pub flink: Option<Flink>,
    /// What keeps a pod from running, or an object from being made.
    pub trouble: Option<Trouble>,
    /// Whether all objects stand as they are wanted, and their controllers have seen it.
    pub is_made: bool,
    /// Whether all pods are there, ready, and none is too many, but for those that are late in going: their node may be lost, and what is asked
    /// for runs without them. They hold their CPU until they are gone.
    pub is_manned: bool,
    /// What should have gone long ago, and what keeps it.
    pub late: Option<String>,
    workloads: [Option<Workload>; 2],
    left: [Left; 2],
    peopled: [bool; 2],
    jobmanagers: u32,
}

/// How the JobManager is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobManager {
    /// It has no pod that is ready.
    Absent,
    /// Its pod is ready, and it has not been asked yet.
    Ready,
    /// It answers.
    Answers,
    /// Its pod is ready, but it did not answer lately.
    Hesitates,
    /// Its pod is ready, but it does not answer.
    Silent(String),
}

/// Pods of a role that no Deployment of now has made. They hold the CPU until they are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// There are none.
    Nothing,
    /// They are on their way out.
    Going,
    /// Their Deployment is gone, and it is not known whether they go after it, or were left to themselves.
    Alone,
}

/// What keeps a cluster from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Reason of the condition.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
    /// Whether it fails for now, rather than has to wait.
    pub is_failure: bool,
}

impl Scene {
    /// Takes together what is observed.
    pub fn of(observed: &Observed<'_>, wanted: &[Built], growth: Option<Verdict>) -> Self {
        let of = |role: Role, kind: MadeKind| {
            observed
                .made
                .iter()
                .filter(move |made| made.role == Some(role) && made.kind == kind)
                .filter(|made| made.pod().is_none_or(|pod| !pod.ended))
        };
        let workloads = Role::BOTH.map(|role| {
            let mut found = of(role, MadeKind::Deployment).filter(|made| !made.is_going());
            found.find_map(|made| made.workload().cloned())
        });
        let peopled = Role::BOTH.map(|role| of(role, MadeKind::Pod).next().is_some());
        let left = Role::BOTH.map(|role| {
            let mut deployments = of(role, MadeKind::Deployment).peekable();
            if of(role, MadeKind::Pod).next().is_none() {
                Left::Nothing
            } else if deployments.peek().is_some() {
                if deployments.all(Made::is_going) {
                    Left::Going
                } else {
                    Left::Nothing
                }
            } else if of(role, MadeKind::Pod).all(Made::is_going) {
                Left::Going
            } else {
                Left::Alone
            }
        });
        let [jobmanager_workload, taskmanager_workload] = &workloads;
        let told = taskmanager_workload
            .as_ref()
            .map(|workload| workload.replicas);
        let number = task_managers(observed.cluster);
        let number = if growth.is_some() {
            told.unwrap_or(0).min(number)
        } else {
            number
        };
        let pods: Vec<(&Made, &Pod)> = of(Role::TaskManager, MadeKind::Pod)
            .filter_map(|made| Some((made, made.pod()?)))
            .collect();
        let ready = pods
            .iter()
            .filter(|(made, pod)| pod.ready && !made.is_going())
            .count();
        let jobmanagers = of(Role::JobManager, MadeKind::Pod).count();
        let jobmanager = jobmanager(observed);
        let flink = match &observed.heard {
            Heard::Answer(flink) if jobmanager == JobManager::Answers => Some(flink.clone()),
            _ => None,
        };
        let registered = flink.as_ref().map(|flink| registered(flink, &pods));
        let is_up = |workload: Option<&Workload>, replicas: u32| {
            workload.is_some_and(|workload| {
                workload.observed
                    && !workload.paused
                    && workload.replicas == replicas
                    && workload.existing == replicas
                    && workload.updated == replicas
            })
        };
        let counts = |made: &Made| !made.is_late(observed.now);
        let pods_number = number_of(pods.len());
        let going = pods.iter().filter(|(made, _)| made.is_going()).count();
        let mut scene = Self {
            wanted: number,
            room: number.saturating_sub(number_of(going)),
            told,
            pods: pods_number,
            registered,
            flink,
            trouble: None,
            is_made: wanted.iter().all(|built| {
                observed.made.iter().any(|made| {
                    is_same(made, built)
                        && !made.is_going()
                        && built.input.is(made.input.as_deref())
                })
            }) && is_up(jobmanager_workload.as_ref(), 1)
                && is_up(taskmanager_workload.as_ref(), number),
            is_manned: number_of(pods.iter().filter(|(made, _)| counts(made)).count()) == number
                && number_of(ready) == number
                && of(Role::JobManager, MadeKind::Pod)
                    .filter(|made| counts(made))
                    .count()
                    == 1
                && jobmanager != JobManager::Absent,
            late: remaining::late(observed.made, observed.now),
            jobmanager,
            growth,
            workloads,
            left,
            peopled,
            jobmanagers: number_of(jobmanagers),
        };
        scene.trouble = scene.find_trouble(observed);
        scene
    }

    /// The role of an object that is wanted, if it is a role's Deployment.
    pub fn role_of(&self, built: &Built) -> Option<Role> {
        if built.kind != MadeKind::Deployment {
            return None;
        }
        let word = built
            .object
            .pointer("/metadata/labels/sluice.dev~1component")?;
        Role::of_word(word.as_str()?)
    }

    /// Pods that a role's Deployment should have.
    pub fn replicas(&self, role: Role) -> u32 {
        match role {
            Role::JobManager => 1,
            // Those that are going hold their CPU until they are gone, and Kubernetes would make others beside them at once.
            Role::TaskManager => self.wanted.min(self.told.unwrap_or(0).max(self.room)),
        }
    }

    /// Pods of this role that no Deployment of now has made.
    pub fn left(&self, role: Role) -> Left {
        *of_role(&self.left, role)
    }

    /// Whether a paused Deployment of this role may make pods: it has taken over those that were there, or they are gone.
    pub fn may_go_on(&self, role: Role, workload: &Workload) -> bool {
        !of_role(&self.peopled, role) || (workload.observed && workload.existing > 0)
    }

    /// Whether nothing is left of what was more before.
    pub fn has_shrunk(&self) -> bool {
        self.is_made && self.pods <= self.wanted && self.jobmanagers <= 1
    }

    /// Whether the cluster is all that is asked for. `before`: its state so far; what ran is not taken for lost only because
    /// it has not been asked yet.
    pub fn is_complete(&self, before: Option<SessionClusterState>) -> bool {
        let ran = before == Some(SessionClusterState::Running);
        self.growth.is_none()
            && self.is_made
            && self.is_manned
            && match &self.jobmanager {
                JobManager::Answers => self.registered.is_some_and(|number| number >= self.wanted),
                JobManager::Ready | JobManager::Hesitates => ran,
                JobManager::Absent | JobManager::Silent(_) => false,
            }
    }

    /// Whether the JobManager is there, as far as is known.
    pub fn has_jobmanager(&self) -> bool {
        !matches!(self.jobmanager, JobManager::Absent | JobManager::Silent(_))
    }

    /// How soon Flink is to be asked again.
    pub fn listen(&self, state: Option<SessionClusterState>) -> Listen {
        let is_quiet = state == Some(SessionClusterState::Running)
            && match &self.flink {
                Some(flink) => self.registered == Some(self.wanted) && flink.counted == self.wanted,
                None => self.jobmanager == JobManager::Ready,
            };
        match self.jobmanager {
            // Its readiness is told by Kubernetes.
            JobManager::Absent => Listen::No,
            _ if is_quiet => Listen::Slowly,
            _ => Listen::Soon,
        }
    }

    /// The quota's refusal to let it grow, if that is why it may not.
    pub fn growth_refusal(&self) -> Option<&QuotaRefusal> {
        match &self.growth {
            Some(Verdict::Refused(refusal)) => Some(refusal),
            _ => None,
        }
    }

    fn find_trouble(&self, observed: &Observed<'_>) -> Option<Trouble> {
        if let Some(refused) = &observed.refused {
            return Some(Trouble {
                reason: refused.reason,
                message: refused.message.clone(),
                is_failure: true,
            });
        }
        let failure = self
            .workloads
            .iter()
            .flatten()
            .find_map(|workload| workload.failure.as_ref());
        if let Some(failure) = failure {
            return Some(Trouble {
                reason: reasons::OBJECT_REFUSED,
                message: format!("pods cannot be made: {failure}"),
                is_failure: true,
            });
        }
        if let Some(hindered) = &observed.hindered {
            return Some(Trouble {
                reason: hindered.reason,
                message: hindered.message.clone(),
                is_failure: false,
            });
        }
        let worst = observed
            .made
            .iter()
            .filter(|made| made.kind == MadeKind::Pod && !made.is_going())
            .filter_map(|made| Some((made, made.pod()?.trouble.as_ref()?)))
            .min_by(|(a, x), (b, y)| (x.kind, a.role, &a.name).cmp(&(y.kind, b.role, &b.name)));
        let (made, trouble) = worst?;
        let role = made.role.map_or("pod", Role::word);
        Some(Trouble {
            reason: match trouble.kind {
                TroubleKind::Image => reasons::IMAGE_PULL_FAILED,
                TroubleKind::Container => reasons::POD_FAILED,
                TroubleKind::Unschedulable => reasons::UNSCHEDULABLE,
            },
            message: format!("{role}: {}", trouble.message),
            is_failure: trouble.kind != TroubleKind::Unschedulable,
        })
    }
}

fn of_role<T>([jobmanager, taskmanager]: &[T; 2], role: Role) -> &T {
    match role {
        Role::JobManager => jobmanager,
        Role::TaskManager => taskmanager,
    }
}

/// What a JobManager's answers are known by: a container that was started again in its pod is another Flink.
pub fn process(pod: &Made) -> String {
    let restarts = pod.pod().map_or(0, |pod| pod.restarts);
    format!("{}/{restarts}", pod.uid)
}

/// The pod that runs the JobManager, ready or not.
pub fn jobmanager_pod(made: &[Made]) -> Option<&Made> {
    made.iter().find(|made| {
        made.living_pod().is_some() && made.role == Some(Role::JobManager) && !made.is_going()
    })
}

fn jobmanager(observed: &Observed<'_>) -> JobManager {
    let is_ready = jobmanager_pod(observed.made)
        .and_then(Made::pod)
        .is_some_and(|pod| pod.ready);
    if !is_ready {
        return JobManager::Absent;
    }
    match &observed.heard {
        Heard::Nothing => JobManager::Ready,
        Heard::Answer(_) => JobManager::Answers,
        Heard::Silent { times, .. } if *times < PATIENCE => JobManager::Hesitates,
        Heard::Silent { why, .. } => JobManager::Silent(why.clone()),
    }
}

/// Registered TaskManagers. Where they bear the names of their pods, only those whose pod is there: Flink keeps one that was
/// killed until its heartbeat is missed.
fn registered(flink: &Flink, pods: &[(&Made, &Pod)]) -> u32 {
    let names: Vec<&str> = pods
        .iter()
        .filter(|(made, _)| !made.is_going())
        .map(|(made, _)| made.name.as_str())
        .collect();
    let ours = flink
        .task_managers
        .iter()
        .filter(|id| names.contains(&id.as_str()))
        .count();
    if ours == 0 {
        number_of(flink.task_managers.len())
    } else {
        number_of(ours)
    }
}

fn number_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
