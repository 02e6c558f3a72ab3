//! A suite as its file holds it. Every key that is not known is an error that names it and its line, so that an expectation that is
//! misspelt never passes for one that holds.

use crate::exit::Failure;
use crate::input::{self, Document, Folders};
use crate::offline::manifest::ObjectId;
use crate::offline::world::Knowledge;
use crate::yaml::{Content, Node, Position};
use serde_json::Value;
use sluice_policy::Dialect;
use sluice_policy::dialect::{Scope, dialects};
use std::path::{Path, PathBuf};

/// `apiVersion` of suites. They are files of the command line's; no cluster knows them.
pub(super) const API_VERSION: &str = "cli.sluice.dev/v1alpha1";

/// What stands in a file.
pub(super) struct Suite {
    pub file: String,
    pub name: String,
    /// In which paths begin.
    pub folder: PathBuf,
    pub policy: Vec<Document>,
    pub inventory: Vec<Document>,
    pub knowledge: Knowledge,
    pub user: String,
    pub namespace: String,
    pub tests: Vec<Test>,
}

/// Steps in front of a cluster of their own.
pub(super) struct Test {
    pub name: String,
    pub at: Position,
    pub steps: Vec<Step>,
}

pub(super) struct Step {
    pub at: Position,
    pub user: Option<String>,
    pub ask: Ask,
    pub expect: Expect,
}

pub(super) enum Ask {
    Create(Document),
    /// The object as it shall be, and as it is stored where no earlier step says so.
    Update(Document, Option<Document>),
    Scale(Target, i64),
    Delete(Target),
}

pub(super) struct Target {
    pub id: ObjectId,
    pub dialect: &'static dyn Dialect,
    pub at: Position,
}

/// What is expected; what is left out may be anything.
#[derive(Default)]
pub(super) struct Expect {
    pub allowed: Option<bool>,
    pub rule: Option<String>,
    pub message: Vec<String>,
    /// Each in a warning of its own or another; an empty list: no warning at all.
    pub warnings: Option<Vec<String>>,
    pub object: Option<PathBuf>,
    pub patch: Option<PathBuf>,
}

/// Whether a document is a suite.
pub(super) fn is_suite(document: &Document) -> bool {
    let text = |key: &str| document.root.get(key).and_then(Node::as_text);
    text("kind") == Some("Suite")
        && text("apiVersion").is_some_and(|version| version.starts_with("cli.sluice.dev/"))
}

/// Reads a suite and the files that it names.
pub(super) fn read(document: &Document) -> Result<Suite, Failure> {
    let reader = Reader { document };
    let root = &document.root;
    reader.known(
        root,
        "a Suite",
        &[
            "apiVersion",
            "kind",
            "metadata",
            "policy",
            "inventory",
            "as",
            "namespace",
            "tests",
        ],
    )?;
    if root.get("apiVersion").and_then(Node::as_text) != Some(API_VERSION) {
        return Err(reader.fault(
            root.at,
            format!("apiVersion of a Suite is {API_VERSION} in this version of sluice"),
        ));
    }
    let folder = Path::new(&*document.file)
        .parent()
        .unwrap_or(Path::new(""))
        .to_owned();
    let name = match root.get("metadata") {
        Some(metadata) => {
            reader.known(metadata, "metadata of a Suite", &["name"])?;
            reader.text(metadata, "name")?
        }
        None => None,
    };
    let paths = |key: &str| -> Result<Vec<Document>, Failure> {
        let paths: Vec<PathBuf> = reader
            .texts(root, key)?
            .unwrap_or_default()
            .iter()
            .map(|path| folder.join(path))
            .collect();
        input::read(&paths, Folders::Flat)
    };
    let mut suite = Suite {
        file: document.file.to_string(),
        name: name.unwrap_or_else(|| document.file.to_string()),
        policy: paths("policy")?,
        inventory: paths("inventory")?,
        knowledge: match root.get("inventory") {
            Some(_) => Knowledge::Full,
            None => Knowledge::Partial,
        },
        user: reader
            .text(root, "as")?
            .unwrap_or_else(|| "sluice-test".to_owned()),
        namespace: reader
            .text(root, "namespace")?
            .unwrap_or_else(|| "default".to_owned()),
        folder,
        tests: Vec::new(),
    };
    for test in reader.list(root, "tests")? {
        let test = reader.test(test, &suite)?;
        if suite.tests.iter().any(|other| other.name == test.name) {
            return Err(reader.fault(
                test.at,
                format!("a second test is called \"{}\"; rename one", test.name),
            ));
        }
        suite.tests.push(test);
    }
    if suite.tests.is_empty() {
        return Err(reader.fault(
            root.at,
            "tests is missing or empty; a suite without tests proves nothing",
        ));
    }
    Ok(suite)
}

const STEP: [&str; 7] = ["create", "update", "scale", "delete", "old", "as", "expect"];

struct Reader<'d> {
    document: &'d Document,
}

impl Reader<'_> {
    fn fault(&self, at: Position, message: impl std::fmt::Display) -> Failure {
        Failure::Input(self.document.fault(at, message))
    }

    /// Refuses what is no map, and keys that are none of these.
    fn known(&self, node: &Node, what: &str, keys: &[&str]) -> Result<(), Failure> {
        let Some(entries) = node.entries() else {
            return Err(self.fault(
                node.at,
                format!(
                    "{what} is {}, not a map of {}",
                    node.type_name(),
                    keys.join(", ")
                ),
            ));
        };
        match entries
            .iter()
            .find(|entry| !keys.contains(&entry.key.as_str()))
        {
            Some(entry) => Err(self.fault(
                entry.at,
                format!(
                    "{what} has no key \"{}\"; it has {}",
                    entry.key,
                    keys.join(", ")
                ),
            )),
            None => Ok(()),
        }
    }

    fn text(&self, node: &Node, key: &str) -> Result<Option<String>, Failure> {
        match node.get(key) {
            None => Ok(None),
            Some(value) => match value.as_text() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(self.fault(
                    value.at,
                    format!("{key} is {}, not a text; quote it", value.type_name()),
                )),
            },
        }
    }

    /// A text, or a list of them.
    fn texts(&self, node: &Node, key: &str) -> Result<Option<Vec<String>>, Failure> {
        let Some(value) = node.get(key) else {
            return Ok(None);
        };
        let items = match &value.content {
            Content::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        items
            .iter()
            .map(|item| {
                item.as_text().map(str::to_owned).ok_or_else(|| {
                    let what = item.type_name();
                    self.fault(item.at, format!("{key} holds {what}, not a text; quote it"))
                })
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn list<'n>(&self, node: &'n Node, key: &str) -> Result<&'n [Node], Failure> {
        match node.get(key) {
            None => Ok(&[]),
            Some(Node {
                content: Content::List(items),
                ..
            }) => Ok(items),
            Some(other) => Err(self.fault(
                other.at,
                format!("{key} is {}, not a list", other.type_name()),
            )),
        }
    }

    fn test(&self, node: &Node, suite: &Suite) -> Result<Test, Failure> {
        let single = node.get("steps").is_none();
        let keys: &[&str] = if single {
            &[
                "name", "create", "update", "scale", "delete", "old", "as", "expect",
            ]
        } else {
            &["name", "steps"]
        };
        self.known(node, "a test", keys)?;
        let Some(name) = self.text(node, "name")? else {
            return Err(self.fault(node.at, "name is missing; every test has one"));
        };
        let steps = if single {
            vec![self.step(node, suite)?]
        } else {
            let steps = self.list(node, "steps")?.iter();
            steps
                .map(|step| {
                    self.known(step, "a step", &STEP)?;
                    self.step(step, suite)
                })
                .collect::<Result<_, _>>()?
        };
        if steps.is_empty() {
            return Err(self.fault(
                node.at,
                "steps is empty; a test without steps proves nothing",
            ));
        }
        Ok(Test {
            name,
            at: node.at,
            steps,
        })
    }

    fn step(&self, node: &Node, suite: &Suite) -> Result<Step, Failure> {
        let asked: Vec<&str> = STEP
            .into_iter()
            .take(4)
            .filter(|key| node.get(key).is_some())
            .collect();
        let (&[verb], Some(what)) = (
            asked.as_slice(),
            asked.first().and_then(|key| node.get(key)),
        ) else {
            return Err(self.fault(
                node.at,
                format!(
                    "a step asks for one of create, update, scale, delete; this has {}",
                    asked.len()
                ),
            ));
        };
        let old = node
            .get("old")
            .map(|old| {
                if verb == "update" {
                    self.object(old, suite)
                } else {
                    Err(self.fault(old.at, format!("old goes with update, not with {verb}")))
                }
            })
            .transpose()?;
        let ask = match verb {
            "create" => Ask::Create(self.object(what, suite)?),
            "update" => Ask::Update(self.object(what, suite)?, old),
            "scale" => {
                self.known(
                    what,
                    "scale",
                    &["apiVersion", "kind", "namespace", "name", "replicas"],
                )?;
                let replicas = what.get("replicas").map(Node::to_json);
                let Some(replicas) = replicas
                    .as_ref()
                    .and_then(Value::as_i64)
                    .filter(|n| *n >= 0)
                else {
                    return Err(
                        self.fault(what.at, "scale needs replicas, a whole number of 0 or more")
                    );
                };
                let target = self.target(what, suite)?;
                if target.dialect.kind().scale.is_none() {
                    return Err(self.fault(what.at, format!("{} cannot be scaled", target.id.kind)));
                }
                Ask::Scale(target, replicas)
            }
            _ => {
                self.known(what, "delete", &["apiVersion", "kind", "namespace", "name"])?;
                Ask::Delete(self.target(what, suite)?)
            }
        };
        Ok(Step {
            at: what.at,
            user: self.text(node, "as")?,
            ask,
            expect: self.expect(node.get("expect"), suite)?,
        })
    }

    /// An object: written here, or in a file of its own.
    fn object(&self, node: &Node, suite: &Suite) -> Result<Document, Failure> {
        let Some(path) = node.as_text() else {
            if node.entries().is_none() {
                let what = node.type_name();
                return Err(self.fault(
                    node.at,
                    format!("expected an object or the name of its file, found {what}"),
                ));
            }
            return Ok(Document {
                file: self.document.file.clone(),
                root: node.clone(),
            });
        };
        let mut documents = input::read(&[suite.folder.join(path)], Folders::Flat)?;
        match (documents.pop(), documents.len()) {
            (Some(document), 0) => Ok(document),
            (_, more) => Err(self.fault(
                node.at,
                format!("{path} holds {} objects; a step is about one", more + 1),
            )),
        }
    }

    fn target(&self, node: &Node, suite: &Suite) -> Result<Target, Failure> {
        let (Some(kind), Some(name)) = (self.text(node, "kind")?, self.text(node, "name")?) else {
            return Err(self.fault(node.at, "kind and name say which object"));
        };
        let version = self.text(node, "apiVersion")?;
        let group = version
            .as_deref()
            .map(|text| text.split('/').next().unwrap_or(text));
        let mut found = dialects().iter().copied().filter(|dialect| {
            dialect.kind().kind == kind && group.is_none_or(|group| dialect.kind().group == group)
        });
        let (Some(dialect), None) = (found.next(), found.next()) else {
            return Err(self.fault(
                node.at,
                format!(
                    "kind {kind} is none that Sluice judges, or several; apiVersion says which"
                ),
            ));
        };
        let namespace = match dialect.kind().scope {
            Scope::Cluster => None,
            Scope::Namespaced => Some(
                self.text(node, "namespace")?
                    .unwrap_or_else(|| suite.namespace.clone()),
            ),
        };
        Ok(Target {
            id: ObjectId {
                group: dialect.kind().group.to_owned(),
                kind,
                namespace,
                name,
            },
            dialect,
            at: node.at,
        })
    }

    fn expect(&self, node: Option<&Node>, suite: &Suite) -> Result<Expect, Failure> {
        let Some(node) = node else {
            return Ok(Expect {
                allowed: Some(true),
                ..Expect::default()
            });
        };
        self.known(
            node,
            "expect",
            &["allowed", "rule", "message", "warnings", "object", "patch"],
        )?;
        let allowed = match node.get("allowed") {
            None => None,
            Some(value) => match value.to_json() {
                Value::Bool(allowed) => Some(allowed),
                _ => return Err(self.fault(value.at, "allowed is true or false")),
            },
        };
        let rule = self.text(node, "rule")?;
        if let Some(id) = &rule
            && !crate::rules::rules().iter().any(|rule| rule.id == id)
        {
            return Err(self.fault(
                node.get("rule").map_or(node.at, |rule| rule.at),
                format!("there is no rule \"{id}\"; `sluice rules` lists all of them"),
            ));
        }
        let golden = |key: &str| -> Result<Option<PathBuf>, Failure> {
            Ok(self.text(node, key)?.map(|path| suite.folder.join(path)))
        };
        let message = self.texts(node, "message")?.unwrap_or_default();
        Ok(Expect {
            // A rule or a message is that of a refusal.
            allowed: allowed
                .or((rule.is_some() || !message.is_empty()).then_some(false))
                .or(Some(true)),
            rule,
            message,
            warnings: self.texts(node, "warnings")?,
            object: golden("object")?,
            patch: golden("patch")?,
        })
    }
}
