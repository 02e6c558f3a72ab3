//! What else exists, answered from files.

use super::manifest::ObjectId;
use serde_json::{Value, json};
use sluice_policy::Modes;
use sluice_policy::dialect::{KindInfo, Scope, config};
use sluice_policy::world::{Layer, Lookup, World};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const SLUICE: &str = "sluice.dev";

/// Whether what the files do not hold does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// The files tell everything that exists (an inventory was given).
    Full,
    /// The files may leave out anything.
    Partial,
}

/// Objects from files.
#[derive(Debug)]
pub struct FileWorld {
    knowledge: Knowledge,
    objects: BTreeMap<ObjectId, Arc<Value>>,
    labels: HashMap<String, Arc<Value>>,
    operator: Option<Arc<Value>>,
}

impl FileWorld {
    /// A world without objects.
    pub fn new(knowledge: Knowledge) -> Self {
        Self {
            knowledge,
            objects: BTreeMap::new(),
            labels: HashMap::new(),
            operator: None,
        }
    }

    /// Adds an object, or replaces it.
    pub fn put(&mut self, id: ObjectId, object: Arc<Value>) {
        if id.group.is_empty() && id.kind == "Namespace" {
            let labels = object
                .get("metadata")
                .and_then(|metadata| metadata.get("labels"))
                .cloned();
            self.labels.insert(
                id.name.clone(),
                Arc::new(labels.unwrap_or_else(|| json!({}))),
            );
        }
        self.objects.insert(id, object);
    }

    /// Takes an object away; `false` if it is not there.
    pub fn remove(&mut self, id: &ObjectId) -> bool {
        if id.group.is_empty() && id.kind == "Namespace" {
            self.labels.remove(&id.name);
        }
        self.objects.remove(id).is_some()
    }

    /// The Apache operator's own configuration.
    pub fn configure(&mut self, operator: Value) {
        self.operator = Some(Arc::new(operator));
    }

    /// An object.
    pub fn get(&self, id: &ObjectId) -> Option<&Arc<Value>> {
        self.objects.get(id)
    }

    /// Objects of a kind, by name.
    fn of_kind<'w>(
        &'w self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = (&'w ObjectId, &'w Arc<Value>)> + use<'w> {
        let first = ObjectId {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: String::new(),
        };
        let same = first.clone();
        self.objects.range(first..).take_while(move |(id, _)| {
            (&id.group, &id.kind, &id.namespace) == (&same.group, &same.kind, &same.namespace)
        })
    }

    fn layers<'w>(
        &'w self,
        kind: &'w str,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = Layer> + 'w {
        self.of_kind(SLUICE, kind, namespace)
            .map(|(id, object)| Layer {
                source: id.to_string(),
                spec: Arc::new(config::settings(kind, object)),
            })
    }

    fn missing(&self) -> Lookup {
        match self.knowledge {
            Knowledge::Full => Lookup::Absent,
            Knowledge::Partial => Lookup::Unknown,
        }
    }
}

/// Where an object of a kind lives.
fn scoped<'n>(kind: &KindInfo, namespace: &'n str) -> Option<&'n str> {
    (kind.scope == Scope::Namespaced).then_some(namespace)
}

impl World for FileWorld {
    fn modes(&self, namespace: &str) -> Modes {
        let labels = self.labels.get(namespace);
        Modes::from_labels(Modes::default(), |key| labels?.get(key)?.as_str())
    }

    fn defaults(&self, namespace: &str) -> Vec<Layer> {
        let own = self.layers("DeploymentDefaults", Some(namespace));
        own.chain(self.layers("ClusterDeploymentDefaults", None))
            .collect()
    }

    fn environments(&self, namespace: &str) -> Vec<Layer> {
        let names_it = |spec: &Value| {
            let named = spec.get("namespaces").and_then(Value::as_array);
            named.is_some_and(|all| all.iter().any(|name| name == namespace || name == "*"))
        };
        self.layers("Environment", None)
            .filter(|layer| names_it(&layer.spec))
            .collect()
    }

    fn lookup(&self, kind: &KindInfo, namespace: &str, name: &str) -> Lookup {
        let id = ObjectId {
            group: kind.group.to_owned(),
            kind: kind.kind.to_owned(),
            namespace: scoped(kind, namespace).map(str::to_owned),
            name: name.to_owned(),
        };
        self.get(&id)
            .map_or_else(|| self.missing(), |object| Lookup::Found(object.clone()))
    }

    fn lookup_uid(&self, kind: &KindInfo, namespace: &str, uid: &str) -> Lookup {
        let has =
            |object: &Value| sluice_policy::json::text(object, &["metadata", "uid"]) == Some(uid);
        self.of_kind(kind.group, kind.kind, scoped(kind, namespace))
            .find(|(_, object)| has(object))
            .map_or_else(
                || self.missing(),
                |(_, object)| Lookup::Found(object.clone()),
            )
    }

    fn namespace_labels(&self, namespace: &str) -> Option<Arc<Value>> {
        self.labels.get(namespace).cloned()
    }

    fn operator_configuration(&self) -> Option<Arc<Value>> {
        self.operator.clone()
    }
}
