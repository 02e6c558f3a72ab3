//! What a caller may choose about a node.

use std::path::PathBuf;

use super::requirements::HostTools;

/// How to add a node to a [`crate::Cluster`].
#[derive(Debug, Clone)]
pub struct NodeOptions {
    pub(crate) tools: HostTools,
    pub(crate) images: Vec<PathBuf>,
    pub(crate) image_folders: Vec<PathBuf>,
}

impl NodeOptions {
    /// A node without images but those that it needs itself.
    pub fn new(tools: HostTools) -> Self {
        Self {
            tools,
            images: Vec::new(),
            image_folders: Vec::new(),
        }
    }

    /// Imports an archive of images (OCI or Docker layout, one tar file) before any pod can start.
    #[must_use]
    pub fn image(mut self, archive: impl Into<PathBuf>) -> Self {
        self.images.push(archive.into());
        self
    }

    /// Imports every `*.tar` of a folder, in the order of their names. A folder that is not there has none.
    #[must_use]
    pub fn image_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.image_folders.push(folder.into());
        self
    }
}
