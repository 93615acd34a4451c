use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Diagnostic, Label, Severity, Sources};

/// Whether the text may carry terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No escape sequences.
    Plain,
    /// ANSI colours.
    Colour,
}

/// The diagnostics as text with the lines shown, one blank line between two.
pub fn render(sources: &Sources, diagnostics: &[Diagnostic], style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colour => Renderer::styled(),
    };
    let mut out = String::new();
    for diagnostic in diagnostics {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&renderer.render(&[group(sources, diagnostic)]));
        out.push('\n');
    }
    out
}

fn group<'a>(sources: &'a Sources, diagnostic: &'a Diagnostic) -> annotate_snippets::Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = annotate_snippets::Group::with_title(level.primary_title(&diagnostic.message));
    let mut related: Vec<&Label> = diagnostic.related.iter().collect();
    if let Some(primary) = &diagnostic.primary {
        let mut shown = snippet(sources, primary, AnnotationKind::Primary);
        // Places in the same file are shown in one picture, in line order.
        related.retain(|label| {
            let same = label.origin.source == primary.origin.source;
            if same {
                shown = std::mem::replace(&mut shown, Snippet::source("")).annotation(annotation(
                    sources,
                    label,
                    AnnotationKind::Context,
                ));
            }
            !same
        });
        group = group.element(shown);
    }
    for label in related {
        group = group.element(snippet(sources, label, AnnotationKind::Context));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    group
}

fn snippet<'a>(
    sources: &'a Sources,
    label: &'a Label,
    kind: AnnotationKind,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    Snippet::source(sources.text(label.origin.source))
        .path(
            sources
                .path(label.origin.source)
                .to_string_lossy()
                .into_owned(),
        )
        .annotation(annotation(sources, label, kind))
}

fn annotation<'a>(
    sources: &Sources,
    label: &'a Label,
    kind: AnnotationKind,
) -> annotate_snippets::Annotation<'a> {
    // The renderer slices the text by these numbers, so they must be ordered character boundaries within it.
    let text = sources.text(label.origin.source);
    let boundary = |at: usize| {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(label.origin.start);
    let end = boundary(label.origin.end).max(start);
    let annotation = kind.span(start..end);
    if label.text.is_empty() {
        annotation
    } else {
        annotation.label(&label.text)
    }
}
