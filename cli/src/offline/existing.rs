//! What exists before the first request: settings, what runs, and what is stored of the objects that the requests are about.

use super::manifest::Manifest;
use super::{Gate, Refused, Verb, idle, server};
use crate::exit::Failure;
use crate::input::Document;
use serde_json::Value;
use sluice_policy::admit;
use sluice_policy::dialect::{Class, operator};
use sluice_policy::review::Part;
use sluice_policy::{Dialect, Operation, Review};
use std::sync::Arc;

impl Gate {
    /// Objects that exist: they are found by look-ups, their CPU is in use. Quotas, defaults, environments and namespaces
    /// among them take effect.
    pub fn exists(&mut self, documents: &[Document]) -> Result<(), Failure> {
        self.add(documents, &mut |_, _| Ok(()))
    }

    /// Settings that exist. What the gate would refuse cannot exist, so a wrong one is an error of the input; one that sets nothing is
    /// told on stderr.
    pub fn settings(&mut self, documents: &[Document]) -> Result<(), Failure> {
        self.add(documents, &mut |document, refused| {
            Err(Failure::Input(
                document.fault(document.root.at, &refused.message),
            ))
        })?;
        for document in documents {
            idle::tell(document, &self.manifest(document)?);
        }
        Ok(())
    }

    /// Objects as they are stored before the requests; they exist, too.
    pub fn stored(&mut self, documents: &[Document]) -> Result<(), Failure> {
        self.exists(documents)?;
        for document in documents {
            let manifest = self.manifest(document)?;
            let has_form = |dialect: &dyn Dialect| dialect.class() == Class::Workload;
            let in_form = self.world.get(&manifest.id).cloned();
            let object = in_form
                .filter(|_| manifest.dialect.is_some_and(has_form))
                .unwrap_or_else(|| Arc::new(server::stored(&manifest)));
            self.old.insert(manifest.id, object);
        }
        Ok(())
    }

    fn add(
        &mut self,
        documents: &[Document],
        refused: &mut dyn FnMut(&Document, &Refused) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut settings = Vec::new();
        let mut workloads = Vec::new();
        for document in documents {
            let manifest = self.manifest(document)?;
            let object = Arc::new(server::stored(&manifest));
            if manifest.id.kind == "ConfigMap" && manifest.id.name == operator::CONFIG_MAP {
                let configuration = operator::configuration(&object)
                    .map_err(|why| Failure::Input(document.fault(manifest.at, why)))?;
                self.world.configure(configuration);
            }
            self.world.put(manifest.id.clone(), object);
            match manifest.dialect.map(|dialect| (dialect, dialect.class())) {
                Some((dialect, Class::Configuration)) => {
                    settings.push((document, manifest, dialect));
                }
                Some((dialect, Class::Workload)) => workloads.push((manifest, dialect)),
                None => {}
            }
        }
        // What is filled in comes before what it is filled into.
        for (document, manifest, dialect) in settings {
            if let Some(why) = self.set(document, &manifest, dialect)? {
                refused(document, &why)?;
            }
        }
        for (manifest, dialect) in &workloads {
            let object = Arc::new(self.in_form(manifest, *dialect));
            self.world.put(manifest.id.clone(), object);
        }
        // Only now, since the CPU of a session job follows from its cluster.
        for (manifest, dialect) in workloads {
            if let Some(object) = self.world.get(&manifest.id) {
                let charge = admit::charge(dialect, object, &self.world);
                self.usage.count(&manifest.id, dialect, charge);
            }
        }
        Ok(())
    }

    /// A setting takes effect as the gate would have stored it. One that it refuses may have been stored while nobody was asked, and counts
    /// if it can be read.
    fn set(
        &mut self,
        document: &Document,
        manifest: &Manifest,
        dialect: &'static dyn Dialect,
    ) -> Result<Option<Refused>, Failure> {
        let verdict = self.decide(manifest, dialect, None, Verb::Create);
        let fault = |why: &str| Failure::Input(document.fault(manifest.at, why));
        if let Some(why) = verdict.refused {
            self.usage
                .learn(&manifest.id, &server::stored(manifest))
                .map_err(|_| fault(&why.message))?;
            return Ok(Some(why));
        }
        self.usage
            .learn(&manifest.id, &verdict.object)
            .map_err(|why| fault(&why))?;
        self.world
            .put(manifest.id.clone(), Arc::new(verdict.object));
        Ok(None)
    }

    /// A workload as it is stored. A manifest stands for what the gate makes of it, or it would cost less than it does once it is applied.
    fn in_form(&self, manifest: &Manifest, dialect: &'static dyn Dialect) -> Value {
        let object = server::stored(manifest);
        if server::has_been_stored(&manifest.object) {
            return object;
        }
        let review = Review {
            dialect,
            operation: Operation::Create,
            part: Part::Whole,
            namespace: manifest.id.namespace.as_deref().unwrap_or_default(),
            name: &manifest.id.name,
            object: &object,
        };
        admit::mutate(&review, &self.world).object.into_owned()
    }
}
