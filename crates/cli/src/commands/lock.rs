use std::fmt::Write as _;
use std::path::Path;

use bedstone_deb::lock::{Change, Lock};
use bedstone_image::locking::{Resolution, Upgrade, request_digest, resolve_product};
use bedstone_image::product::Product;
use bedstone_store::{Store, atomic};
use serde_json::{Value, json};

use crate::args::LockArgs;
use crate::commands::{archive_access, product};
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

pub(crate) fn run(arguments: &LockArgs, context: &Context) -> Result<()> {
    let product = product::load(&arguments.layers)?;
    let path = product::lock_file(&arguments.layers);
    let store = Store::open(context.store_directory()?)?;
    let previous = read_if_there(&path)?;
    if arguments.check && previous.is_none() {
        return Err(Failure::new(
            Kind::CheckSaysNo,
            format!("`{}` does not exist", path.display()),
        )
        .hint("run `bedstone lock`"));
    }
    let upgrade = match arguments.upgrade.as_deref() {
        None => Upgrade::Nothing,
        Some([]) => Upgrade::Everything,
        Some(names) => Upgrade::Packages(names.to_vec()),
    };
    let repositories = archive_access::read(&product, &store, context)?;
    let span = context.reporter.start("resolve", "Resolving packages");
    let resolution = resolve_product(&product, &repositories, previous.as_ref(), &upgrade)
        .map_err(archive_access::refuse)?;
    span.finish(format!("{} packages", resolution.lock.packages.len()));

    let text = resolution.lock.to_text();
    let current = previous.as_ref().map(Lock::to_text);
    let unchanged = current.as_deref() == Some(text.as_str());
    if arguments.check {
        context.print(&to_json(&resolution, unchanged, &path), || {
            render(&resolution, unchanged, &path, false)
        })?;
        return if unchanged {
            Ok(())
        } else {
            Err(Failure::new(
                Kind::CheckSaysNo,
                format!("`{}` does not fit the manifest", path.display()),
            )
            .hint("run `bedstone lock`"))
        };
    }
    if !unchanged {
        atomic::write(&path, text.as_bytes())?;
    }
    context.print(&to_json(&resolution, unchanged, &path), || {
        render(&resolution, unchanged, &path, true)
    })
}

/// Resolves the product anew and writes its lock file.
pub(crate) fn write(
    product: &Product,
    path: &Path,
    store: &Store,
    context: &Context,
) -> Result<()> {
    let repositories = archive_access::read(product, store, context)?;
    let resolution = resolve_product(product, &repositories, None, &Upgrade::Nothing)
        .map_err(archive_access::refuse)?;
    atomic::write(path, resolution.lock.to_text().as_bytes())?;
    Ok(())
}

/// Refuses a lock that was made for other requests than the manifest's, as far as that shows without the archive.
pub(crate) fn fits(product: &Product, lock: &Lock, path: &Path) -> Result<()> {
    let refuse = |reason: String| {
        Err(Failure::new(
            Kind::Input,
            format!("`{}` does not fit the manifest: {reason}", path.display()),
        )
        .hint("run `bedstone lock`"))
    };
    let architecture = product.composition.manifest.debian.architecture.name();
    if lock.architecture != architecture {
        return refuse(format!(
            "it is for {}, the manifest for {architecture}",
            lock.architecture
        ));
    }
    let suite = &*product.composition.manifest.debian.suite;
    if !lock.sources.iter().any(|source| source.suite == suite) {
        return refuse(format!("it has no packages of suite `{suite}`"));
    }
    for package in &product.plan.install {
        if !lock
            .packages
            .iter()
            .any(|locked| locked.name == *package.name)
        {
            return refuse(format!("it lacks package `{}`", &*package.name));
        }
    }
    for package in &product.plan.remove {
        if lock.packages.iter().any(|locked| locked.name == **package) {
            return refuse(format!(
                "it has package `{}`, which is to be left out",
                &**package
            ));
        }
    }
    let request = request_digest(product).map_err(archive_access::refuse)?;
    if lock.request.is_some_and(|locked| locked != request) {
        return refuse(
            "since it was made, sources, pins, recommends or the packages asked for have changed"
                .to_owned(),
        );
    }
    Ok(())
}

/// Reads a lock file; `None` when there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Lock>> {
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Lock::parse(&shown, &text)
            .map(Some)
            .map_err(|error| Failure::caused_by(Kind::Input, error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::caused_by(Kind::Input, error).context(format!("cannot read `{shown}`")))
        }
    }
}

/// Reads a lock file that must be there.
pub(crate) fn read(path: &Path) -> Result<Lock> {
    read_if_there(path)?.ok_or_else(|| {
        Failure::new(Kind::Input, format!("`{}` does not exist", path.display()))
            .hint("run `bedstone lock` first")
    })
}

fn to_json(resolution: &Resolution<'_>, unchanged: bool, path: &Path) -> Value {
    let changes: Vec<Value> = resolution
        .changes
        .iter()
        .map(|change| match change {
            Change::Added(to) => json!({"change": "added", "name": to.name, "to": to.version}),
            Change::Removed(from) => {
                json!({"change": "removed", "name": from.name, "from": from.version})
            }
            Change::Changed { from, to } => json!({
                "change": if change.is_downgrade() { "downgraded" } else { "upgraded" },
                "name": to.name, "from": from.version, "to": to.version,
            }),
        })
        .collect();
    let lock = &resolution.lock;
    json!({
        "version": 1,
        "lock": path,
        "unchanged": unchanged,
        "architecture": lock.architecture,
        "epoch": lock.epoch,
        "packages": lock.packages.len(),
        "tools": lock.tools.len(),
        "boot": lock.boot.iter().map(|it| json!({"name": it.name, "version": it.version})).collect::<Vec<_>>(),
        "bytes": lock.packages.iter().map(|it| it.size).sum::<u64>(),
        "changes": changes,
    })
}

fn render(resolution: &Resolution<'_>, unchanged: bool, path: &Path, written: bool) -> String {
    let mut text = String::new();
    let fresh = resolution.changes.len() == resolution.lock.packages.len();
    if !fresh {
        for change in &resolution.changes {
            let _ = match change {
                Change::Added(to) => writeln!(text, "+ {} {}", to.name, to.version),
                Change::Removed(from) => writeln!(text, "- {} {}", from.name, from.version),
                Change::Changed { from, to } => writeln!(
                    text,
                    "{} {} {} → {}",
                    if change.is_downgrade() { "↓" } else { "↑" },
                    to.name,
                    from.version,
                    to.version
                ),
            };
        }
    }
    let lock = &resolution.lock;
    let bytes: u64 = lock.packages.iter().map(|package| package.size).sum();
    let state = match (unchanged, written) {
        (true, _) => "is up to date",
        (false, true) => "written",
        (false, false) => "would change",
    };
    let boot: Vec<String> = lock
        .boot
        .iter()
        .map(|package| format!("{} {}", package.name, package.version))
        .collect();
    let _ = writeln!(
        text,
        "{} {state}: {} packages ({:.0} MB), {} for tools, boot chain {}",
        path.display(),
        lock.packages.len(),
        bytes as f64 / 1e6,
        lock.tools.len(),
        boot.join(", ")
    );
    text
}
