//! Text of others on its way into a report. Names are checked when a file is read, but a page can be rebuilt
//! from any recording, so nothing here trusts them.

/// Without control characters, without characters that turn the direction of writing or have no width, and on
/// one line: fit for a terminal, for XML and for a table cell. Escaping for markup still has to follow.
pub fn clean(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| visible(*c)).collect();
    line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Like [`clean`], but blanks stay as they are: for lines that are laid out already.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| visible(*c)).collect()
}

/// Like [`clean`], but lines and their indentation stay.
pub fn clean_lines(text: &str) -> String {
    let spread = text.replace('\t', "    ");
    spread.chars().filter(|c| *c == '\n' || visible(*c)).collect()
}

fn visible(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !hidden
}

/// At most `limit` characters: the middle gives way to an ellipsis, because names differ at both ends.
pub fn shorten(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let keep = limit.saturating_sub(1);
    let (head, tail) = (keep - keep / 2, keep / 2);
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

/// Lines of at most `width` characters, broken at blanks; a word longer than that is cut.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = shorten(word, width.max(1));
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// `one seed`, `10 seeds`.
pub fn count_of(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {many}", super::number::grouped(n as f64, 0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_go() {
        assert_eq!(clean("a\u{1b}[31mred\u{202e}x\u{0}"), "a[31mredx");
        assert_eq!(clean("  two\n lines\t"), "two lines");
        assert_eq!(clean_lines("{\n\t\"a\": 1\u{7}\n}"), "{\n    \"a\": 1\n}");
    }

    #[test]
    fn long_text_is_shortened_in_the_middle() {
        assert_eq!(shorten("least_request", 20), "least_request");
        assert_eq!(shorten("abcdefghij", 5), "ab…ij");
        assert_eq!(shorten("abc", 1), "…");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    }
}
