//! How layers become one: tables merge key by key, lists append, everything else is replaced by the later layer.
//!
//! In a list, `!item` takes away what an earlier layer listed, and `!*` all of it. Layers that agree on the kind of each value
//! merge associatively, because lists keep their marks until [`settle`].

use std::collections::BTreeMap;

use crate::document::{Diagnostic, Entry, Node, Value, nearest};

/// Merges layers left to right, later wins, and settles the marks in lists.
///
/// Fails where a value has different kinds in two layers, and where `!item` finds nothing to take away.
pub fn merge(layers: impl IntoIterator<Item = Node>) -> Result<Option<Node>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut merged: Option<Node> = None;
    for layer in layers {
        merged = Some(match merged {
            Some(earlier) => combine(earlier, layer, "", &mut problems),
            None => layer,
        });
    }
    if let Some(root) = &mut merged {
        settle(root, &mut problems);
    }
    if problems.is_empty() {
        Ok(merged)
    } else {
        Err(problems)
    }
}

/// Puts `later` over `earlier`; marks in lists stay for [`settle`].
pub(super) fn combine(
    earlier: Node,
    later: Node,
    name: &str,
    problems: &mut Vec<Diagnostic>,
) -> Node {
    match (earlier.value, later.value) {
        (Value::Table(mut entries), Value::Table(new)) => {
            for (key, entry) in new {
                let merged = match entries.remove(&key) {
                    Some(old) => Entry {
                        node: combine(old.node, entry.node, &key, problems),
                        key: entry.key,
                    },
                    None => entry,
                };
                entries.insert(key, merged);
            }
            Node {
                value: Value::Table(entries),
                origin: earlier.origin,
            }
        }
        (Value::List(mut items), Value::List(new)) => {
            items.extend(new);
            Node {
                value: Value::List(items),
                origin: later.origin,
            }
        }
        (old, new) => {
            let mixed = |value: &Value| matches!(value, Value::Table(_));
            if mixed(&old) != mixed(&new) {
                let later_node = Node {
                    value: new.clone(),
                    origin: later.origin.clone(),
                };
                problems.push(
                    Diagnostic::error(format!(
                        "`{name}` is {} here, but not in an earlier layer",
                        later_node.kind()
                    ))
                    .at(&later.origin, "")
                    .related(&earlier.origin, "the earlier layer"),
                );
            }
            Node {
                value: new,
                origin: later.origin,
            }
        }
    }
}

/// Applies `!item` and `!*` in every list and drops repetitions, the first one staying in its place.
pub(super) fn settle(node: &mut Node, problems: &mut Vec<Diagnostic>) {
    match &mut node.value {
        Value::Table(entries) => entries
            .values_mut()
            .for_each(|entry| settle(&mut entry.node, problems)),
        Value::List(items) => {
            let mut kept: Vec<Node> = Vec::with_capacity(items.len());
            let mut at: BTreeMap<String, usize> = BTreeMap::new();
            for mut item in std::mem::take(items) {
                let Value::String(text) = &item.value else {
                    settle(&mut item, problems);
                    kept.push(item);
                    continue;
                };
                if text == "!*" {
                    kept.clear();
                    at.clear();
                } else if let Some(bare) = text.strip_prefix('!') {
                    match at.remove(bare) {
                        Some(index) => {
                            kept.remove(index);
                            for other in at.values_mut().filter(|other| **other > index) {
                                *other -= 1;
                            }
                        }
                        None => problems.push(nothing_to_remove(bare, &item, &at)),
                    }
                } else if !at.contains_key(text) {
                    at.insert(text.clone(), kept.len());
                    kept.push(item);
                }
            }
            *items = kept;
        }
        _ => {}
    }
}

fn nothing_to_remove(bare: &str, item: &Node, listed: &BTreeMap<String, usize>) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!(
        "`!{bare}` takes nothing away: no earlier layer lists `{bare}`"
    ))
    .at(&item.origin, "");
    match nearest(bare, listed.keys().map(String::as_str)) {
        Some(meant) => diagnostic.help(format!("did you mean `!{meant}`?")),
        None => diagnostic,
    }
}
