//! Unified kernel images in the section layout of systemd-stub (UAPI group, *Unified Kernel Image* specification).
//!
//! A UKI is the stub, an EFI program, with the kernel and all that it needs appended as PE sections, so that one signature
//! covers everything. [`Recipe::build`] makes one, [`Contents::read`] takes one apart, [`command_line`] reads what a device needs.

use crate::error::{Error, Result};
use crate::pe::{self, NewSection, characteristics};
use crate::storage::ReadAt;

mod sbat;

#[cfg(test)]
mod tests;

const FORMAT: &str = "unified kernel image";
const COMMAND_LINE: &str = ".cmdline";

/// What goes into a unified kernel image.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// `linux*.efi.stub` of systemd (252 and later), unsigned.
    pub stub: &'a [u8],
    /// The image's `os-release(5)` file; boot menus show what it says.
    pub os_release: &'a str,
    /// The kernel's release as in `uname -r`, see [`kernel_release`].
    pub uname: &'a str,
    /// The kernel command line; one line without its end.
    pub command_line: &'a str,
    /// The initramfs: one or more cpio archives, compressed or not.
    pub initrd: &'a [u8],
    /// The kernel, a PE image for the stub's machine; its own signature, if any, stays and does not matter.
    pub linux: &'a [u8],
}

impl Recipe<'_> {
    /// Builds the unsigned image; equal recipes give equal bytes.
    ///
    /// The stub keeps its own sections. Appended are `.osrel`, `.uname`, `.cmdline`, `.initrd` and `.linux`; the kernel comes
    /// last, because stubs before 258 may run an old kernel in place, which then grows beyond its section. The `.sbat`
    /// entries of the kernel, if it has any, join those of the stub in the stub's section. As the whole image must not
    /// promise more than its kernel holds, `NX_COMPAT` is cleared when the kernel lacks it.
    pub fn build(&self) -> Result<Vec<u8>> {
        let stub = pe::Image::parse(self.stub)?;
        let kernel = pe::Image::parse(self.linux)?;
        if stub.section(".sdmagic")?.is_none() {
            return Err(fault(".sdmagic", "the stub has none: it is not systemd's"));
        }
        if stub.machine() != kernel.machine() {
            return Err(fault(
                ".linux",
                format!(
                    "the kernel is for machine {:#06x}, the stub for {:#06x}",
                    kernel.machine(),
                    stub.machine()
                ),
            ));
        }
        one_line(".cmdline", self.command_line)?;
        one_line(".uname", self.uname)?;

        let mut base = self.stub.to_vec();
        if let Some(merged) = sbat::merged(&stub, &kernel)? {
            base = pe::replace_section(&stub, ".sbat", merged.as_bytes())?;
        }
        if !pe::is_nx_compatible(&kernel) {
            base = pe::clear_nx_compatible(&pe::Image::parse(&base)?);
        }

        let data = characteristics::INITIALIZED_DATA | characteristics::READ;
        let code = characteristics::CODE | characteristics::READ;
        let sections = [
            (".osrel", self.os_release.as_bytes(), data),
            (".uname", self.uname.as_bytes(), data),
            (".cmdline", self.command_line.as_bytes(), data),
            (".initrd", self.initrd, data),
            (".linux", self.linux, code),
        ]
        .map(|(name, data, characteristics)| NewSection {
            name,
            data,
            characteristics,
        });
        let stub = pe::Image::parse(&base)?;
        for section in &sections {
            if section.data.is_empty() {
                return Err(fault(section.name, "it is empty"));
            }
            if stub.section(section.name)?.is_some() {
                return Err(fault(section.name, "the stub has one already"));
            }
        }
        pe::append_sections(&stub, &sections)
    }
}

/// The parts of a unified kernel image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents<'a> {
    /// `.osrel`
    pub os_release: &'a str,
    /// `.uname`
    pub uname: &'a str,
    /// `.cmdline`
    pub command_line: &'a str,
    /// `.initrd`
    pub initrd: &'a [u8],
    /// `.linux`
    pub linux: &'a [u8],
}

impl<'a> Contents<'a> {
    /// Finds the parts in `bytes`, signed or not; each must be there exactly once.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let image = pe::Image::parse(bytes)?;
        let part = |name: &str| {
            image
                .section(name)?
                .map(|section| image.data(section))
                .ok_or_else(|| fault(name, "it is missing"))
        };
        let text = |name: &str| text(name, part(name)?);
        Ok(Self {
            os_release: text(".osrel")?,
            uname: text(".uname")?,
            command_line: text(COMMAND_LINE)?,
            initrd: part(".initrd")?,
            linux: part(".linux")?,
        })
    }
}

/// Longest command line that is taken; no kernel takes one that is longer than 4096 bytes.
const COMMAND_LINE_LIMIT: u32 = 64 << 10;

/// The command line of the image that is the whole of `file`. Its other parts must be there, and are not read: memory stays
/// below 256 KiB.
pub fn command_line(file: &(impl ReadAt + ?Sized)) -> Result<String> {
    let length = file.size().map_err(Error::stream("measure", FORMAT))?;
    let read = |offset: u64, length: u64| {
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, offset)
            .map_err(Error::stream("read", FORMAT))?;
        Ok::<_, Error>(bytes)
    };
    let headers = pe::Headers::parse(&read(0, length.min(pe::Headers::LIMIT))?, length)?;
    let part = |name: &str| {
        headers
            .section(name)?
            .ok_or_else(|| fault(name, "it is missing"))
    };
    for name in [".osrel", ".uname", ".initrd", ".linux"] {
        part(name)?;
    }
    let section = part(COMMAND_LINE)?;
    if section.size() > COMMAND_LINE_LIMIT {
        return Err(fault(COMMAND_LINE, "it is longer than 64 KiB"));
    }
    let bytes = read(u64::from(section.raw_offset), u64::from(section.size()))?;
    text(COMMAND_LINE, &bytes).map(str::to_owned)
}

/// The text in a section.
fn text<'a>(section: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes)
        .map(|text| text.trim_end_matches('\0'))
        .map_err(|_| fault(section, "it is not UTF-8"))
}

/// The release (`uname -r`) that an x86 `bzImage` states in its boot header (Linux *x86 boot protocol*, `kernel_version`).
pub fn kernel_release(linux: &[u8]) -> Result<&str> {
    let header = linux
        .get(0x202..0x210)
        .filter(|header| header.starts_with(b"HdrS"))
        .ok_or_else(|| fault(".linux", "no x86 boot header"))?;
    let start = 0x200 + usize::from(u16::from_le_bytes([header[12], header[13]]));
    linux
        .get(start..)
        .and_then(|text| text.split(|byte| matches!(byte, 0 | b' ')).next())
        .filter(|release| !release.is_empty() && release.len() <= 64)
        .and_then(|release| std::str::from_utf8(release).ok())
        .ok_or_else(|| fault(".linux", "its boot header states no release"))
}

fn one_line(section: &str, text: &str) -> Result<()> {
    if text.chars().any(char::is_control) {
        return Err(fault(section, "it holds a control character"));
    }
    Ok(())
}

fn fault(section: &str, reason: impl Into<String>) -> Error {
    Error::Uki {
        section: section.to_owned(),
        reason: reason.into(),
    }
}
