use super::fault;
use crate::error::Result;
use crate::pe;

/// The stub's `.sbat` section with the kernel's entries added; `None` when the kernel has none of its own.
///
/// SBAT (shim, `SBAT.md`) is CSV: a first line `sbat,1,…` for the format itself, then one line per component whose
/// generation number a revocation may name. The kernel must stay revocable when it is hidden inside the UKI.
pub(super) fn merged(stub: &pe::Image<'_>, kernel: &pe::Image<'_>) -> Result<Option<String>> {
    let Some(added) = text(kernel)? else {
        return Ok(None);
    };
    let own = text(stub)?.ok_or_else(|| fault(".sbat", "the kernel has one, the stub has not"))?;
    let mut lines: Vec<&str> = own.lines().collect();
    for line in added.lines().skip(1) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let mut merged = lines.join("\n");
    merged.push('\n');
    Ok(Some(merged))
}

fn text<'a>(image: &pe::Image<'a>) -> Result<Option<&'a str>> {
    let Some(section) = image.section(".sbat")? else {
        return Ok(None);
    };
    std::str::from_utf8(image.data(section))
        .map(|text| text.trim_end_matches('\0'))
        .ok()
        .filter(|text| text.starts_with("sbat,"))
        .map(Some)
        .ok_or_else(|| fault(".sbat", "it does not begin with `sbat,`"))
}
