//! `/etc`: the image's, with the slot's own changes on the data partition above it.

use std::fs;
use std::io;
use std::path::Path;

use bedstone_state::etc::layers::{self, Host, Layer};
use bedstone_state::etc::{Layers, Report};

use crate::error::{Error, Result};
use crate::minimum::UPDATE;
use crate::mounts;
use crate::slot::Slot;
use crate::status::Json;

/// Takes the place of the layer on the data partition when that cannot be used.
const IN_MEMORY: &str = "/run/bedstone/etc-overlay";

/// The layers on the data partition, which is mounted at `var`.
pub(crate) fn layers(var: &Path) -> Layers {
    Layers::new(var.join(UPDATE).join(layers::DIRECTORY))
}

/// Lays the slot's changes over `/etc` of the root at `root`; the first start of an image carries over those of the slot that
/// was started before it, and tells what came of that.
pub(crate) fn lay(root: &Path, layers: &Layers, slot: Slot, image: &str) -> Result<Option<Report>> {
    let etc = root.join("etc");
    let Layer {
        upper,
        work,
        report,
    } = layers.open(slot, image, &etc, &Kernel)?;
    mounts::overlay(&etc, &[&etc], Some((&upper, &work)))?;
    Ok(report)
}

/// The same for one start only: the device's changes as they are, over the image's files.
pub(crate) fn lay_in_memory(root: &Path, layers: &Layers, slot: Slot) -> Result<()> {
    let etc = root.join("etc");
    let memory = Path::new(IN_MEMORY);
    let (upper, work) = (memory.join("upper"), memory.join("work"));
    for directory in [&upper, &work] {
        fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    }
    let changes = Some((&*upper, &*work));
    if let Some(newest) = layers.newest(slot)
        && mounts::overlay(&etc, &[&newest, &etc], changes).is_ok()
    {
        return Ok(());
    }
    mounts::overlay(&etc, &[&etc], changes)
}

struct Kernel;

impl Host for Kernel {
    fn mount(
        &self,
        target: &Path,
        lowers: &[&Path],
        changes: Option<(&Path, &Path)>,
    ) -> io::Result<()> {
        mounts::overlay(target, lowers, changes).map_err(io::Error::other)
    }

    fn describe(&self, report: &Report) -> String {
        let entries = report.entries.iter().map(|entry| {
            Json::Object(vec![
                ("path", Json::Owned(entry.path.display().to_string())),
                ("outcome", Json::Text(entry.outcome.name())),
                ("note", Json::Text(&entry.note)),
            ])
        });
        let json = Json::Object(vec![
            ("version", Json::Number(1)),
            ("kept", Json::Number(report.kept as u64)),
            ("taken", Json::Number(report.taken as u64)),
            ("entries", Json::List(entries.collect())),
        ]);
        format!("{json}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedstone_state::etc::{Entry, Outcome};

    #[test]
    fn tells_a_merge() {
        let report = Report {
            kept: 3,
            taken: 2,
            entries: vec![Entry {
                path: "ssh/sshd_config".into(),
                outcome: Outcome::Conflict,
                note: "both changed it".to_owned(),
            }],
        };
        assert_eq!(
            Kernel.describe(&report),
            "{\"version\":1,\"kept\":3,\"taken\":2,\"entries\":[{\"path\":\"ssh/sshd_config\",\
             \"outcome\":\"conflict\",\"note\":\"both changed it\"}]}\n"
        );
    }
}
