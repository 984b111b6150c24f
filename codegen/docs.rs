//! Documentation for generated items: the schema's descriptions, made safe for rustdoc.

/// Escapes a description of the schema for rustdoc.
///
/// Outside of code, `<x>` would be HTML, `[x]` a broken link, and a bare URL not clickable.
/// Indented lines would be code blocks, and so doc tests.
pub(crate) fn escape(text: &str) -> String {
    let mut out = Vec::new();
    let mut fenced = false;
    // The compiler refuses carriage returns and bidirectional marks in comments.
    let is_refused =
        |c: char| matches!(c, '\r' | '\0' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let text = text.replace("\r\n", "\n").replace(is_refused, " ");
    for line in text.lines() {
        let line = line.trim_end();
        if let Some(language) = line.trim_start().strip_prefix("```") {
            out.push(if !fenced && language.is_empty() {
                "```text".to_owned()
            } else {
                line.trim_start().to_owned()
            });
            fenced = !fenced;
        } else if fenced {
            out.push(line.to_owned());
        } else {
            let indent = line.len() - line.trim_start().len();
            out.push(format!(
                "{}{}",
                " ".repeat(indent.min(3)),
                escape_line(line.trim_start())
            ));
        }
    }
    if fenced {
        out.push("```".into());
    }
    out.join("\n")
}

fn escape_line(line: &str) -> String {
    let mut out = String::new();
    for (index, part) in line.split('`').enumerate() {
        if index > 0 {
            out.push('`');
        }
        // A last unpaired back-tick does not open code.
        let code = index % 2 == 1 && (index < line.matches('`').count());
        if code {
            out.push_str(part);
        } else {
            escape_prose(part, &mut out);
        }
    }
    out
}

fn escape_prose(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(start) = ["https://", "http://"]
        .iter()
        .filter_map(|scheme| rest.find(scheme))
        .min()
    {
        let (before, url) = rest.split_at(start);
        escape_marks(before, out);
        let end = url
            .find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | ')' | ']' | '"'))
            .unwrap_or(url.len());
        let end = url[..end].trim_end_matches(['.', ',', ';', ':']).len();
        out.push('<');
        out.push_str(&url[..end]);
        out.push('>');
        rest = &url[end..];
        // `<https://…>` is a link already.
        if before.ends_with('<') {
            out.truncate(out.len() - end - 4);
            out.push('<');
            out.push_str(&url[..end]);
            out.push('>');
            rest = rest.strip_prefix('>').unwrap_or(rest);
        }
    }
    escape_marks(rest, out);
}

fn escape_marks(text: &str, out: &mut String) {
    for c in text.chars() {
        if matches!(c, '<' | '>' | '[' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
}

/// The first sentence, on one line.
pub(crate) fn first_sentence(text: &str) -> String {
    let line = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    match line.find(". ") {
        Some(end) => line[..=end].to_owned(),
        None => line,
    }
}
