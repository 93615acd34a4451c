//! `bedstone why` and `bedstone tree`: what the lock says about why things are there.

use std::fmt::Write as _;
use std::path::Path;

use bedstone_deb::archive::Deb;
use bedstone_deb::explain::{Link, Tree, why};
use bedstone_deb::lock::{Lock, Locked};
use bedstone_deb::resolve::{Reason as Origin, Solution};
use bedstone_event::Unit;
use bedstone_image::locking::{Repositories, request};
use bedstone_image::product::Product;
use bedstone_image::profile::Reason;
use bedstone_store::Store;
use serde_json::{Value, json};

use crate::args::{LayersArg, TreeArgs, WhyArgs};
use crate::commands::{archive_access, lock, product};
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

/// Chains shown for one package.
const CHAINS: usize = 5;

/// The lock of a product, seen as what the resolver chose.
struct Locking {
    product: Product,
    lock: Lock,
    store: Store,
    repositories: Repositories,
}

impl Locking {
    fn read(layers: &LayersArg, context: &Context) -> Result<Self> {
        let product = product::load(layers)?;
        let lock = lock::read(&product::lock_file(layers))?;
        let store = Store::open(context.store_directory()?)?;
        let repositories = archive_access::read(&product, &store, context)?;
        Ok(Self {
            product,
            lock,
            store,
            repositories,
        })
    }

    fn solution(&self) -> Result<Solution<'_>> {
        let request = request(&self.product).map_err(archive_access::refuse)?;
        Ok(self.lock.solution(&self.repositories.image, &request))
    }
}

pub(crate) fn why_command(arguments: &WhyArgs, context: &Context) -> Result<()> {
    let locking = Locking::read(&arguments.layers, context)?;
    let what = arguments.what.as_str();
    if what.starts_with('/') {
        return why_file(what, &locking, context);
    }
    let reasons = locking.product.plan.why(what);
    if !locking.lock.packages.iter().any(|it| it.name == what) {
        if reasons.is_empty() {
            return Err(Failure::new(
                Kind::Input,
                format!("nothing named `{what}` is in the image"),
            )
            .hint("name a package, an absolute path, or a setting such as sysctl:kernel.sysrq"));
        }
        return context.print(&json!({"version": 1, "reasons": reasons}), || {
            reason_lines(&reasons, "")
        });
    }
    let solution = locking.solution()?;
    let chains = why(&locking.repositories.image, &solution, what, CHAINS);
    let value = json!({
        "version": 1,
        "package": what,
        "reasons": reasons,
        "chains": chains.iter().map(|chain| chain_json(chain)).collect::<Vec<_>>(),
    });
    context.print(&value, || {
        let mut text = format!("{what}\n");
        text.push_str(&reason_lines(&reasons, "  "));
        for chain in &chains {
            text.push_str(&chain_lines(chain, &locking.product));
        }
        text
    })
}

fn why_file(path: &str, locking: &Locking, context: &Context) -> Result<()> {
    let reasons = locking.product.plan.why(&format!("file:{path}"));
    let owners = if reasons.is_empty() {
        owners(path, locking, context)?
    } else {
        Vec::new()
    };
    if reasons.is_empty() && owners.is_empty() {
        return Err(Failure::new(
            Kind::Input,
            format!("no package, profile or manifest brings `{path}`"),
        )
        .hint("maintainer scripts make some files when they configure their packages"));
    }
    context.print(
        &json!({"version": 1, "file": path, "reasons": reasons, "packages": owners}),
        || {
            let mut text = format!("{path}\n");
            text.push_str(&reason_lines(&reasons, "  "));
            for owner in &owners {
                let _ = writeln!(text, "  from package {owner}: see `bedstone why {owner}`");
            }
            text
        },
    )
}

/// The packages whose archives hold a path.
fn owners(path: &str, locking: &Locking, context: &Context) -> Result<Vec<String>> {
    // Debian merged /bin, /lib and /sbin into /usr; packages name files by either.
    let wanted = path.trim_start_matches('/');
    let bare = wanted.strip_prefix("usr/").unwrap_or(wanted);
    let total = locking.lock.packages.len() as u64;
    let span =
        context
            .reporter
            .start_counted("search", "Searching packages", Some(total), Unit::Packages);
    let mut found = Vec::new();
    for locked in &locking.lock.packages {
        if holds(locked, &locking.store, Path::new(bare))? {
            found.push(locked.name.clone());
        }
        span.advance(1);
    }
    span.finish(format!("{total} packages searched"));
    Ok(found)
}

fn holds(locked: &Locked, store: &Store, bare: &Path) -> Result<bool> {
    let file = store.get(&locked.sha256).map_err(|error| {
        Failure::from(error).hint("`bedstone build` brings the locked packages into the store")
    })?;
    let fail = |error| Failure::caused_by(Kind::Failed, error);
    let mut deb = Deb::open(&locked.name, file).map_err(fail)?;
    while let Some(entry) = deb.next_entry().map_err(fail)? {
        if entry.path.strip_prefix("usr").unwrap_or(&entry.path) == bare {
            return Ok(true);
        }
    }
    Ok(false)
}

fn reason_lines(reasons: &[&Reason], indent: &str) -> String {
    reasons.iter().fold(String::new(), |mut text, reason| {
        let requirement = if reason.requirement.is_empty() {
            String::new()
        } else {
            format!(" ({})", reason.requirement.join(", "))
        };
        let _ = writeln!(text, "{indent}{}{requirement}: {}", reason.by, reason.text);
        text
    })
}

fn chain_json(chain: &[Link]) -> Value {
    chain
        .iter()
        .map(|link| {
            json!({"package": link.package, "field": link.field, "relation": link.relation, "target": link.target})
        })
        .collect()
}

fn chain_lines(chain: &[Link], product: &Product) -> String {
    let Some(first) = chain.first() else {
        return String::new();
    };
    let mut text = String::new();
    for (depth, link) in chain.iter().enumerate() {
        let _ = writeln!(
            text,
            "  {}{} {} {}",
            "  ".repeat(depth),
            link.package,
            link.field.to_lowercase(),
            link.relation
        );
    }
    let roots = product.plan.why(&format!("package:{}", first.package));
    if roots.is_empty() {
        let _ = writeln!(text, "    {} belongs to every Debian system", first.package);
    } else {
        text.push_str(&reason_lines(&roots, "    "));
    }
    text
}

pub(crate) fn tree_command(arguments: &TreeArgs, context: &Context) -> Result<()> {
    if let Some(package) = &arguments.invert {
        return why_command(
            &WhyArgs {
                what: package.clone(),
                layers: LayersArg {
                    layers: arguments.layers.layers.clone(),
                    lock: arguments.layers.lock.clone(),
                },
            },
            context,
        );
    }
    let locking = Locking::read(&arguments.layers, context)?;
    let solution = locking.solution()?;
    let trees = Tree::of(&locking.repositories.image, &solution);
    let depth = arguments.depth.unwrap_or(usize::MAX);
    let requested = |name: &str| {
        solution
            .packages()
            .any(|(package, reason)| package.name() == name && reason == Origin::Requested)
    };
    let packages: Vec<Value> = locking
        .lock
        .packages
        .iter()
        .map(|locked| {
            json!({
                "name": locked.name, "version": locked.version, "architecture": locked.architecture,
                "sha256": locked.sha256, "size": locked.size, "filename": locked.filename,
                "requested": requested(&locked.name),
            })
        })
        .collect();
    let value = json!({
        "version": 1,
        "packages": packages,
        "tree": trees.iter().map(|tree| tree_json(tree, depth)).collect::<Vec<_>>(),
    });
    context.print(&value, || {
        let mut text = String::new();
        for tree in &trees {
            tree_lines(tree, 0, depth, &mut text);
        }
        text
    })
}

fn tree_json(tree: &Tree, depth: usize) -> Value {
    let needs: Vec<Value> = match depth.checked_sub(1) {
        Some(rest) => tree.needs.iter().map(|it| tree_json(it, rest)).collect(),
        None => Vec::new(),
    };
    json!({
        "name": tree.name, "version": tree.version, "field": tree.field,
        "repeated": tree.repeated, "needs": needs,
    })
}

fn tree_lines(tree: &Tree, level: usize, depth: usize, text: &mut String) {
    let field = match tree.field {
        Some("Depends") | None => String::new(),
        Some(field) => format!("  [{}]", field.to_lowercase()),
    };
    let mark = if tree.repeated { "  (*)" } else { "" };
    let _ = writeln!(
        text,
        "{}{} {}{field}{mark}",
        "  ".repeat(level),
        tree.name,
        tree.version
    );
    if level < depth {
        for child in &tree.needs {
            tree_lines(child, level + 1, depth, text);
        }
    }
}
