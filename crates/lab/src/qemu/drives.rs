use std::fs;
use std::process::Command;

use super::arguments::OpenDrive;
use super::config::{Access, Drive, Format};
use super::directory::RunDirectory;
use super::discover::{Tools, output};
use crate::error::{Error, Result};

/// The file that QEMU opens for `drive`; overlays without a place of their own go to `directory` under `name`.
pub(crate) fn open(
    tools: &Tools,
    drive: &Drive,
    directory: &RunDirectory,
    name: &str,
) -> Result<OpenDrive> {
    let path = fs::canonicalize(&drive.path).map_err(Error::io("find", &drive.path))?;
    let (overlay, temporary) = match &drive.access {
        Access::Writable => {
            return Ok(OpenDrive {
                path,
                format: drive.format,
                temporary: false,
            });
        }
        Access::Discard => (directory.path().join(name), true),
        Access::Overlay(overlay) => (overlay.clone(), false),
    };
    if !overlay.exists() {
        let mut command = Command::new(&tools.qemu_img);
        command
            .args([
                "create",
                "-q",
                "-f",
                "qcow2",
                "-F",
                drive.format.name(),
                "-b",
            ])
            .arg(&path)
            .arg(&overlay);
        output(command, directory.path())?;
    }
    Ok(OpenDrive {
        path: fs::canonicalize(&overlay).map_err(Error::io("find", &overlay))?,
        format: Format::Qcow2,
        temporary,
    })
}
