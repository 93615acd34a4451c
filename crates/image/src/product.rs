//! A product as commands work on it: its layers read, its profiles chosen, its plan made.

use std::io;
use std::path::Path;

use crate::customise::{self, Inputs, Plan};
use crate::document::Problems;
use crate::manifest::{Composition, LayerName, Loader, effective};
use crate::profile::{Catalog, Profiles};

/// A manifest with all that follows from it alone.
#[derive(Debug)]
pub struct Product {
    /// The merged manifest, which knows where each value came from.
    pub composition: Composition,
    /// The chosen profiles.
    pub profiles: Profiles,
    /// Packages, kernel and changes.
    pub plan: Plan,
}

impl Product {
    /// Reads `layers` and what they include, chooses the profiles, makes the plan.
    ///
    /// Fails with every problem that can be known without the archive.
    pub fn load(
        layers: &[LayerName],
        catalog: &Catalog,
        read: &dyn Fn(&Path) -> io::Result<String>,
        inputs: &dyn Inputs,
    ) -> Result<Self, Box<Problems>> {
        let composition = Loader::new(catalog, read).load(layers).map_err(Box::new)?;
        let manifest = composition.manifest.with_defaults();
        let profiles = Profiles::load(
            catalog,
            &manifest.profiles,
            &manifest.debian.suite,
            manifest.debian.architecture,
        )
        .map_err(Box::new)?;
        let plan = customise::plan(&composition, &profiles, inputs).map_err(Box::new)?;
        Ok(Self {
            composition,
            profiles,
            plan,
        })
    }

    /// The whole manifest with defaults and origins, as TOML.
    pub fn effective(&self) -> String {
        effective(&self.composition)
    }

    /// Everything that the manifest and its profiles decide, as JSON: layers that say the same in other words give the same
    /// text. Paths on the build machine are left out; what is at those paths is in the plan.
    pub fn decided(&self) -> String {
        let mut manifest = serde_json::json!(self.composition.manifest.with_defaults());
        let place = |value: &mut serde_json::Value, section: &str, key: &str| {
            if let Some(table) = value.get_mut(section).and_then(|it| it.as_object_mut()) {
                table.remove(key);
            }
        };
        for (section, key) in [
            ("debian", "local"),
            ("debian", "mirror"),
            ("debian", "security-mirror"),
            ("debian", "signed-by"),
            ("debian", "sources"),
            ("secure-boot", "key"),
            ("secure-boot", "certificate"),
        ] {
            place(&mut manifest, section, key);
        }
        if let Some(table) = manifest.as_object_mut() {
            table.remove("files");
            table.remove("hooks");
        }
        let mut text = serde_json::json!({ "manifest": manifest, "plan": self.plan }).to_string();
        text.push('\n');
        text
    }
}
