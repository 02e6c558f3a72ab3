//! Bytes as edits of an object: which place, which value. Every byte string means something, so that no input is wasted.

use serde_json::{Map, Value, json};

/// Words that parsers take seriously.
const WORDS: &[&str] = &[
    "",
    "RUNNING",
    "running",
    "STOPPED",
    "CANCELED",
    "SUSPENDED",
    "NONE",
    "STATEFUL",
    "STATELESS",
    "LATEST_STATE",
    "v1_20",
    "v2_0",
    "1.20",
    "1.1",
    "2.1",
    "500m",
    "0.1",
    "2048m",
    "1Gi",
    "1g",
    "2 gb",
    "1e3",
    "1e999",
    "-1",
    "NaN",
    "inf",
    "0",
    "0x10",
    "99999999999999999999999999",
    "18446744073709551615",
    "true",
    "false",
    "adaptive",
    "reactive",
    "standalone",
    "native",
    "last-state",
    "savepoint",
    "stateless",
    "s3://b/c",
    "local:///a",
    "http://[::1",
    "file:///",
    "../../etc",
    "\u{0}",
    "\u{fffd}\u{1F4A9}",
    "Ⅷ٣",
    "a\nb",
    "a.b/c~d",
    "${x}",
    "{{name}}",
    "* * * * *",
    "PT1H",
    "10 s",
    "flink-main-container",
    "default",
    "kube-system",
];

/// Keys that some reader looks for.
const KEYS: &[&str] = &[
    "",
    "spec",
    "state",
    "kind",
    "name",
    "namespace",
    "cpu",
    "memory",
    "ephemeralStorage",
    "requests",
    "limits",
    "resource",
    "resources",
    "jobManager",
    "jobmanager",
    "taskManager",
    "taskmanager",
    "replicas",
    "parallelism",
    "numberOfTaskManagers",
    "flinkVersion",
    "flinkConfiguration",
    "taskmanager.numberOfTaskSlots",
    "numberOfTaskSlots",
    "taskmanager.cpu.cores",
    "kubernetes.taskmanager.cpu.amount",
    "kubernetes.internal.taskmanager.replicas",
    "job.autoscaler.enabled",
    "job.autoscaler.quota.cpu",
    "slotmanager.number-of-slots.max",
    "pipeline.jobvertex-parallelism-overrides",
    "jobmanager.scheduler",
    "taskmanager.memory.process.size",
    "high-availability.type",
    "execution.checkpointing.interval",
    "kubernetes",
    "pods",
    "jobManagerPodTemplate",
    "taskManagerPodTemplate",
    "podTemplate",
    "containers",
    "initContainers",
    "template",
    "artifact",
    "job",
    "upgradeMode",
    "upgradeStrategy",
    "restoreStrategy",
    "deletionTimestamp",
    "generation",
    "finalizers",
    "annotations",
    "labels",
    "flink.apache.org/canary",
    "sluice.dev/defaults",
    "sluice.dev/allow-recreate",
    "lifecycleState",
    "allocatedMilli",
    "observedGeneration",
    "reconciliationStatus",
    "lastReconciledSpec",
    "clusterInfo",
    "total-cpu",
    "a.b",
    "a/b~c",
];

/// Reads bytes, and zeros after their end.
pub struct Bytes<'d>(&'d [u8]);

impl<'d> Bytes<'d> {
    /// From the first byte on.
    #[must_use]
    pub fn new(data: &'d [u8]) -> Self {
        Self(data)
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number below `end` (0 if `end` is).
    pub fn below(&mut self, end: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        if end == 0 { 0 } else { number % end }
    }

    fn bits(&mut self) -> u64 {
        (0..8).fold(0, |bits, _| bits << 8 | u64::from(self.byte()))
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.byte() % 24).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    fn key(&mut self) -> String {
        let choice = usize::from(self.byte());
        KEYS.get(choice)
            .map_or_else(|| self.text(), |key| (*key).to_owned())
    }

    fn value(&mut self, depth: u8) -> Value {
        match self.byte() % 16 {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(self.byte()),
            3 => json!(-i64::from(self.byte())),
            4 => json!(self.bits()),
            5 => json!(self.bits().cast_signed()),
            // Few digits: serde_json reads longer fractions back one bit off, unless it is told to be slower.
            6 => decimal(self.bits().cast_signed() % 1_000_000_000),
            7 => json!(f64::from(self.byte()) / 10.0),
            8 => json!(self.text()),
            9 => json!("x".repeat(self.below(70_000))),
            10 => {
                let mut deep = json!("bottom");
                for _ in 0..self.byte() % 125 {
                    deep = json!({ "a": [deep] });
                }
                deep
            }
            11 | 12 if depth < 4 => {
                let size = self.byte() % 4;
                (0..size).map(|_| self.value(depth + 1)).collect()
            }
            13 if depth < 4 => {
                let size = self.byte() % 4;
                Value::Object(
                    (0..size)
                        .map(|_| (self.key(), self.value(depth + 1)))
                        .collect::<Map<_, _>>(),
                )
            }
            _ => json!(WORDS[self.below(WORDS.len())]),
        }
    }
}

/// A fraction of thousandths, read from its text as any request is.
fn decimal(thousandths: i64) -> Value {
    let text = format!("{}.{:03}", thousandths / 1000, (thousandths % 1000).abs());
    serde_json::from_str(&text).unwrap_or_default()
}

/// Changes an object as the bytes say, a few times.
pub fn apply(object: &mut Value, bytes: &mut Bytes<'_>) {
    for _ in 0..bytes.byte() % 5 {
        let mut places = Vec::new();
        collect(object, &mut String::new(), &mut places);
        let place = places[bytes.below(places.len())].clone();
        let action = bytes.byte() % 6;
        let other = (action == 5).then(|| places[bytes.below(places.len())].clone());
        let value = match other {
            Some(other) => object.pointer(&other).cloned().unwrap_or_default(),
            None => bytes.value(0),
        };
        let Some(slot) = object.pointer_mut(&place) else {
            continue;
        };
        match (action, slot) {
            (0 | 1, Value::Object(map)) => {
                map.insert(bytes.key(), value);
            }
            (2, Value::Object(map)) if !map.is_empty() => {
                let index = bytes.below(map.len());
                if let Some(key) = map.keys().nth(index).cloned() {
                    map.shift_remove(&key);
                }
            }
            (0 | 1, Value::Array(list)) => list.push(value),
            (2, Value::Array(list)) if !list.is_empty() => {
                let index = bytes.below(list.len());
                list.remove(index);
            }
            (_, slot) => *slot = value,
        }
    }
}

/// Pointers to every place below `spec`, `metadata` and `status`, and to these. Deep and long values are not entered.
fn collect(value: &Value, at: &mut String, out: &mut Vec<String>) {
    out.push(at.clone());
    let depth = at.matches('/').count();
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| depth > 0 || ["spec", "metadata", "status"].contains(&key.as_str()))
            .take(64)
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .take(8)
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => return,
    };
    if depth == 0 {
        out.clear();
    }
    if depth > 12 {
        return;
    }
    for (token, value) in children {
        let length = at.len();
        at.push('/');
        at.push_str(&token);
        collect(value, at, out);
        at.truncate(length);
    }
}
