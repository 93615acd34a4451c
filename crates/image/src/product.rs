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
    /// text. Paths on the build machine are left out; what is at those paths is in the plan. Of a layer that wants
    /// something, the file name is left.
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
            ("update", "certificates"),
        ] {
            place(&mut manifest, section, key);
        }
        if let Some(table) = manifest
            .pointer_mut("/kernel/source")
            .and_then(|it| it.as_object_mut())
        {
            for key in ["tree", "config", "fragments"] {
                table.remove(key);
            }
        }
        if let Some(table) = manifest.as_object_mut() {
            table.remove("files");
            table.remove("hooks");
        }
        let mut plan = serde_json::json!(self.plan);
        self.forget_places(&mut plan);
        let mut text = serde_json::json!({ "manifest": manifest, "plan": plan }).to_string();
        text.push('\n');
        text
    }

    /// Cuts directory and line off every `by` that names a layer: where a manifest lies must not show in what is built.
    fn forget_places(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.forget_places(item)),
            Value::Object(table) => {
                if let Some(Value::String(by)) = table.get_mut("by")
                    && let Some(name) = self.layer_file(by)
                {
                    *by = name;
                }
                table.values_mut().for_each(|item| self.forget_places(item));
            }
            _ => {}
        }
    }

    /// The file name of the layer that `place`, as `file:line`, is in.
    fn layer_file(&self, place: &str) -> Option<String> {
        let (file, _) = place.rsplit_once(':')?;
        self.composition
            .layers
            .iter()
            .find_map(|layer| match &layer.name {
                LayerName::File(path) if path.as_os_str() == file => {
                    Some(path.file_name()?.to_string_lossy().into_owned())
                }
                _ => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customise::HostInputs;

    #[test]
    fn decisions_do_not_show_where_the_manifest_lies() {
        let decided = |directory: &str| {
            let layers = [LayerName::File(Path::new(directory).join("product.toml"))];
            let text =
                "[product]\nname = \"p\"\nversion = \"1\"\n[packages]\ninstall = [\"nginx\"]\n";
            Product::load(
                &layers,
                &Catalog::embedded(),
                &|_| Ok(text.to_owned()),
                &HostInputs,
            )
            .expect("a valid manifest")
            .decided()
        };
        let here = decided("here");
        assert_eq!(here, decided("/some/where"));
        assert!(here.contains(r#""by":"product.toml""#), "{here}");
    }
}
