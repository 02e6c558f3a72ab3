//! The job that a JobManager brings along (`standalone-job`): one run of a Deployment.
//!
//! Its id is chosen before the JobManager is made, so it is the same run whoever starts it. With
//! `execution.shutdown-on-application-finish: false` the JobManager outlives its job, so that how it ended and where its last
//! snapshot lies can still be asked for; with `execution.submit-failed-job-on-application-error` a program that fails in its main
//! method leaves a failed job that says why (both since Flink 1.15).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_api::{Job, Object, Scalar};
use sluice_policy::flink::FlinkVersion;

use super::BuildError;
use super::cluster::HighAvailability;
use super::words::{self, literal};

/// The first version that knows the two options.
const OUTLIVES_SINCE: FlinkVersion = FlinkVersion::new(1, 15);

/// A job that is started with its JobManager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Name of the Job object.
    pub job: String,
    /// Flink's id of the job: the Job object's uid without dashes.
    pub job_id: String,
    /// Where its jar is.
    pub jar: Option<String>,
    /// The main class; `None`: the one that the jar's manifest names.
    pub entry_class: Option<String>,
    /// Arguments of the main class, in one line.
    pub main_args: Option<String>,
    /// The snapshot that it starts from.
    pub savepoint: Option<String>,
    /// Whether state that the job has no operator for may be dropped.
    pub allow_non_restored_state: bool,
}

impl Application {
    /// What a Job object says.
    pub fn of(job: &Job, template: &sluice_api::DeploymentTemplateSpec) -> Self {
        let artifact = template.artifact.clone().unwrap_or_default();
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        Self {
            job: job.metadata.name.clone().unwrap_or_default(),
            job_id: uid.replace('-', ""),
            jar: text(artifact.jar_uri),
            entry_class: text(artifact.entry_class),
            main_args: artifact
                .main_args
                .as_ref()
                .and_then(Scalar::text)
                .map(std::borrow::Cow::into_owned),
            savepoint: text(job.spec.savepoint_location.clone()),
            allow_non_restored_state: job.spec.allow_non_restored_state.unwrap_or_default(),
        }
    }

    /// Arguments of the official image's entry point.
    pub(super) fn arguments(
        &self,
        high_availability: HighAvailability,
    ) -> Result<Vec<String>, BuildError> {
        let mut arguments = vec!["standalone-job".to_owned()];
        let mut add =
            |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
        if high_availability != HighAvailability::None {
            // Not `--host`: Flink 2 does not know it, and takes it and all that follows for the program's own.
            add(&["-D", "jobmanager.rpc.address=$(POD_IP)"]);
        }
        add(&["--job-id", &self.job_id]);
        if let Some(class) = &self.entry_class {
            add(&["--job-classname", &literal(class)]);
        }
        if let Some(savepoint) = &self.savepoint {
            add(&["--fromSavepoint", &literal(savepoint)]);
            if self.allow_non_restored_state {
                add(&["--allowNonRestoredState"]);
            }
        }
        let words = self.program_arguments()?;
        if !words.is_empty() {
            // From here on Flink's entry point takes nothing for its own, such as `--from` for `--fromSavepoint`, or `-Dkey=value`. Its start
            // script still reads `-Djobmanager.memory...` wherever it stands: that sizes the JVM, in a container whose limit stays.
            arguments.push("--".to_owned());
        }
        arguments.extend(words.iter().map(|word| literal(word).into_owned()));
        Ok(arguments)
    }

    fn program_arguments(&self) -> Result<Vec<String>, BuildError> {
        let Some(line) = self
            .main_args
            .as_deref()
            .filter(|line| !line.trim().is_empty())
        else {
            return Ok(Vec::new());
        };
        words::split(line).ok_or_else(|| {
            BuildError::new(
                "spec.template.spec.artifact.mainArgs",
                "a quotation mark is not closed; close it, or write a backslash before it",
            )
        })
    }

    /// Whether the JobManagers of a Flink outlive their job, as they are told to.
    pub fn outlives(version: FlinkVersion) -> bool {
        version >= OUTLIVES_SINCE
    }

    /// Options that only an application needs.
    pub(super) fn configure(version: FlinkVersion, options: &mut BTreeMap<String, String>) {
        if Self::outlives(version) {
            for (key, value) in [
                ("execution.shutdown-on-application-finish", "false"),
                ("execution.submit-failed-job-on-application-error", "true"),
            ] {
                options.insert(key.into(), value.into());
            }
        }
    }

    pub(super) fn input(&self) -> Value {
        json!([
            self.job,
            self.job_id,
            self.jar,
            self.entry_class,
            self.main_args,
            self.savepoint,
            self.allow_non_restored_state,
        ])
    }
}

/// The template that a Job object holds.
///
/// # Errors
/// Where it is no template: somebody has written it.
pub fn frozen(template: Option<&Object>) -> Result<sluice_api::DeploymentTemplateSpec, BuildError> {
    let template = template.cloned().unwrap_or_default();
    let read: Result<sluice_api::DeploymentTemplate, _> =
        serde_json::from_value(Value::Object(template));
    read.map(|template| template.spec.unwrap_or_default())
        .map_err(|error| BuildError::new("spec.template", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str, high_availability: HighAvailability) -> Vec<String> {
        let application = Application {
            job: "d-1".into(),
            job_id: "0a".into(),
            jar: None,
            entry_class: Some("a.B$C".into()),
            main_args: Some(line.into()),
            savepoint: Some("s3://b/sp".into()),
            allow_non_restored_state: true,
        };
        application.arguments(high_availability).unwrap()
    }

    /// Words that Flink's entry point would take for its own, by their beginning or as they are.
    #[test]
    fn a_programs_arguments_are_its_own() {
        let line = "--from 2024-01-01 -Drest.port=1 --re '^a$$' --channel #x '$(POD_IP)'";
        assert_eq!(
            arguments(line, HighAvailability::None),
            [
                "standalone-job",
                "--job-id",
                "0a",
                "--job-classname",
                "a.B$$C",
                "--fromSavepoint",
                "s3://b/sp",
                "--allowNonRestoredState",
                "--",
                "--from",
                "2024-01-01",
                "-Drest.port=1",
                "--re",
                "^a$$$$",
                "--channel",
                "#x",
                "$$(POD_IP)",
            ]
        );
    }

    /// Flink 2 knows no `--host`.
    #[test]
    fn with_high_availability_the_address_is_an_option_that_every_flink_knows() {
        let arguments = arguments(" ", HighAvailability::Kubernetes);
        assert_eq!(
            arguments[..4],
            [
                "standalone-job",
                "-D",
                "jobmanager.rpc.address=$(POD_IP)",
                "--job-id"
            ]
        );
        assert_eq!(arguments.last().unwrap(), "--allowNonRestoredState");
    }
}
