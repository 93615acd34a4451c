//! Reading the manifest layers that a command was given.

use std::path::{Path, PathBuf};

use bedstone_image::customise::HostInputs;
use bedstone_image::document::{Problems, Style, render};
use bedstone_image::manifest::LayerName;
use bedstone_image::product::Product;
use bedstone_image::profile::Catalog;

use crate::args::LayersArg;
use crate::failure::{Failure, Kind, Result};

/// Reads the product that the layers describe.
pub(crate) fn load(arguments: &LayersArg) -> Result<Product> {
    load_layers(&arguments.layers)
}

/// Reads the product that `FILE.toml[:FILE.toml…]` describes.
pub(crate) fn load_layers(text: &str) -> Result<Product> {
    Product::load(
        &layers(text),
        &Catalog::embedded(),
        &|path| std::fs::read_to_string(path),
        &HostInputs,
    )
    .map_err(|problems| refuse(&problems))
}

/// The lock file: as given, else `bedstone.lock` beside the first layer that is a file.
pub(crate) fn lock_file(arguments: &LayersArg) -> PathBuf {
    if let Some(path) = &arguments.lock {
        return path.clone();
    }
    let directory = layers(&arguments.layers)
        .iter()
        .find_map(|layer| match layer {
            LayerName::File(path) => path.parent().map(Path::to_path_buf),
            LayerName::Catalogue(_) => None,
        });
    directory.unwrap_or_default().join("bedstone.lock")
}

/// A failure that shows the lines at fault.
pub(crate) fn refuse(problems: &Problems) -> Failure {
    Failure::rendered(
        Kind::Input,
        render(&problems.sources, &problems.diagnostics, Style::Plain),
    )
}

/// The layers named on the command line; a directory stands for its `product.toml`.
fn layers(text: &str) -> Vec<LayerName> {
    LayerName::parse_list(text)
        .into_iter()
        .map(|layer| match layer {
            LayerName::File(path) if path.is_dir() => LayerName::File(path.join("product.toml")),
            other => other,
        })
        .collect()
}
