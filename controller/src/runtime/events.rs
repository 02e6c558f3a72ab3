//! Events: one is written for each transition, after what it tells is stored. Never repeated by itself: who repeats a
//! transition has a reason to say so.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use sluice_api::events::EventReason;
use sluice_api::names::field_managers;

/// An API server that cannot take an Event just now (429, 503, 504) is offered it once more after this.
const AGAIN: Duration = Duration::from_millis(500);

/// Kubernetes takes notes of at most 1024 bytes.
const LONGEST_NOTE: usize = 1024;

/// What an Event will say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// One word; it also says whether this is trouble.
    pub reason: EventReason,
    /// The sentence.
    pub text: String,
}

impl Note {
    /// A reason and its sentence.
    pub fn new(reason: EventReason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }
}

/// Writes Events.
#[derive(Clone)]
pub struct Events {
    client: Client,
    instance: String,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Events {
    /// In the name of this instance, such as the pod's name.
    pub fn new(client: Client, instance: &str) -> Self {
        Self {
            client,
            instance: instance.chars().take(128).collect(),
        }
    }

    /// Writes one about an object. One that cannot be written is logged and forgotten: conditions say the same and stay.
    pub async fn write(&self, regarding: &ObjectReference, note: &Note) {
        let now = Timestamp::now();
        let namespace = regarding.namespace.clone();
        let namespace = namespace.filter(|name| !name.is_empty());
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        let name = regarding.name.as_deref().unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:016x}", now.as_nanosecond())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some(note.reason.as_str().to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(shortened(&note.text)),
            reason: Some(note.reason.as_str().to_owned()),
            regarding: Some(regarding.clone()),
            reporting_controller: Some("sluice.dev/controller".to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(note.reason.event_type().as_str().to_owned()),
            ..Event::default()
        };
        let params = PostParams {
            field_manager: Some(field_managers::CONTROLLER.to_owned()),
            ..PostParams::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let mut written = api.create(&params, &event).await;
        if let Err(kube::Error::Api(status)) = &written
            && matches!(status.code, 429 | 503 | 504)
        {
            tokio::time::sleep(AGAIN).await;
            written = api.create(&params, &event).await;
        }
        if let Err(error) = written {
            tracing::debug!(name, namespace, reason = %note.reason, %error, "an Event could not be written");
        }
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_NOTE {
        return text.to_owned();
    }
    let mut end = LONGEST_NOTE - "…".len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_fit_in_bytes_whatever_the_letters() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"ä".repeat(1000));
        assert!(
            long.len() <= LONGEST_NOTE && long.ends_with('…'),
            "{}",
            long.len()
        );
    }
}
