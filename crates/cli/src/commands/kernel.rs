use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use bedstone_image::kernel::{Baseline, Config, Report, Verdict, check};
use bedstone_image::manifest::Architecture;

use crate::args::KernelCommand;
use crate::commands::product;
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

pub(crate) fn run(command: &KernelCommand, context: &Context) -> Result<()> {
    match command {
        KernelCommand::Check {
            config,
            version,
            accept,
        } => check_file(config, version.as_deref(), accept.as_deref(), context),
    }
}

fn check_file(
    path: &Path,
    version: Option<&str>,
    accept: Option<&str>,
    context: &Context,
) -> Result<()> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::caused_by(Kind::Input, error).context(format!("cannot read `{shown}`"))
    })?;
    let config = Config::parse(&text).map_err(|error| {
        Failure::caused_by(Kind::Input, error)
            .context(format!("`{shown}` is not a kernel configuration"))
    })?;
    let version = match version {
        Some(text) => parse_version(text).ok_or_else(|| {
            Failure::new(Kind::Input, format!("`{text}` is not a kernel version"))
                .hint("give major and minor, such as 6.12")
        })?,
        None => config.version().ok_or_else(|| {
            Failure::new(
                Kind::Input,
                format!("`{shown}` does not say which kernel version it is for"),
            )
            .hint("name it with --version 6.12")
        })?,
    };
    let architecture = match config.architecture() {
        Some("arm64") => Architecture::Arm64,
        Some("arm") => Architecture::Armhf,
        Some("riscv") => Architecture::Riscv64,
        _ => Architecture::Amd64,
    };
    let accepted = match accept {
        Some(layers) => product::load_layers(layers)?.plan.kernel.deviations,
        None => BTreeMap::new(),
    };
    let baseline = Baseline::standard().map_err(|problems| product::refuse(&problems))?;
    let report = check(&config, version, architecture, &baseline, &accepted);
    context.print(&report, || render(&report, version))?;
    if report.passes() {
        return Ok(());
    }
    Err(Failure::new(
        Kind::CheckSaysNo,
        format!(
            "{} recommendations are not followed",
            report.failures().count()
        ),
    )
    .hint("accept a deviation in the manifest, with its reason: [kernel.deviations]"))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn render(report: &Report, version: (u32, u32)) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        match &finding.verdict {
            Verdict::Fail => {
                let _ = writeln!(
                    text,
                    "✗ {}={}, wanted {}\n    {} ({})",
                    finding.option,
                    finding.actual,
                    finding.wanted.join(" or "),
                    finding.reason,
                    finding.requirement
                );
            }
            Verdict::Accepted { reason } => {
                let _ = writeln!(
                    text,
                    "~ {}={}: accepted: {reason}",
                    finding.option, finding.actual
                );
            }
            Verdict::Pass | Verdict::NotApplicable => {}
        }
    }
    for option in &report.unused {
        let _ = writeln!(text, "? {option}: accepted, but nothing deviates");
    }
    let accepted = Verdict::Accepted {
        reason: String::new(),
    };
    let _ = writeln!(
        text,
        "{} for Linux {}.{}: {} followed, {} accepted, {} not followed, {} not applicable",
        report.baseline,
        version.0,
        version.1,
        report.count(&Verdict::Pass),
        report.count(&accepted),
        report.count(&Verdict::Fail),
        report.count(&Verdict::NotApplicable),
    );
    text
}
