//! Tables of a configuration as protobuf has them in JSON: fields that are known or not, and values of a few types
//! (<https://protobuf.dev/programming-guides/json/>). Whatever is wrong becomes a finding, and reading goes on.

use std::ops::Range;

use super::source::{Kind, Member, Value, shortened};
use crate::base::time::Duration;
use crate::scenario::diagnose::{Finding, Findings, listed, nearest};

/// What a table may hold.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// What it is called in findings.
    pub what: &'static str,
    /// The fields that are read.
    pub known: &'static [&'static str],
    /// Fields of the product that nothing here does, and what to do about them.
    pub later: &'static [(&'static str, &'static str)],
    /// Fields about the world around a client, and where the scenario speaks of it.
    pub world: &'static [(&'static str, &'static str)],
}

impl Shape {
    /// A table of these fields.
    pub const fn of(what: &'static str, known: &'static [&'static str]) -> Shape {
        Shape { what, known, later: &[], world: &[] }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        let others = self.later.iter().chain(self.world).map(|(name, _)| *name);
        self.known.iter().copied().chain(others)
    }
}

/// How the keys of a product are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// As in the shapes: gRPC reads no other spelling of a service config.
    Exact,
    /// `snake_case` as in the shapes, or `lowerCamelCase`: Envoy reads both.
    SnakeOrCamel,
}

/// Reads values, and notes what is wrong with them.
pub struct Reading<'f> {
    /// Where findings go.
    pub findings: &'f mut Findings,
    /// How keys are spelled.
    pub spelling: Spelling,
}

/// A table whose fields are known.
#[derive(Debug)]
pub struct Message<'v> {
    /// The place of the table.
    pub at: Range<usize>,
    /// What it is called.
    pub what: &'static str,
    fields: Vec<(&'static str, &'v Member)>,
}

/// Something read, and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    /// What was read.
    pub value: T,
    /// Where.
    pub at: Range<usize>,
}

impl<'v> Message<'v> {
    /// The value of a field, and the place of its key. `null` counts as left out.
    pub fn field(&self, name: &str) -> Option<&'v Member> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, member)| *member)
    }

    /// True if the file says something.
    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// The fields that are there.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &'v Member)> {
        self.fields.iter().copied()
    }
}

impl Reading<'_> {
    /// Notes an error.
    pub fn error(&mut self, at: &Range<usize>, message: impl AsRef<str>, help: impl AsRef<str>) {
        self.findings.push(Finding::error(at.clone(), message, help));
    }

    /// Notes what may not be as meant.
    pub fn warning(&mut self, at: &Range<usize>, message: impl AsRef<str>, help: impl AsRef<str>) {
        self.findings.push(Finding::warning(at.clone(), message, help));
    }

    /// Notes what nothing here does.
    pub fn not_yet(&mut self, at: &Range<usize>, name: &str, help: &str) {
        let message = format!("`{}` is not supported yet in this version", shortened(name));
        let finding = Finding::error(at.clone(), message, format!("leave it out for now; {help}"));
        self.findings.push(finding.label("not supported yet"));
    }

    /// The value as a table of this shape.
    pub fn message<'v>(&mut self, value: &'v Value, shape: &Shape) -> Option<Message<'v>> {
        let Kind::Table(members) = &value.kind else {
            self.wrong(value, shape.what, "a table `{ … }`");
            return None;
        };
        let mut fields: Vec<(&'static str, &'v Member)> = Vec::new();
        for member in members {
            let Some(name) = self.known(member, shape) else { continue };
            if fields.iter().any(|(other, _)| *other == name) {
                let message = format!("`{}` is given twice, in two spellings", member.key);
                self.error(&member.key_at, message, "keep one of the two");
            } else if member.value.kind != Kind::Null {
                fields.push((name, member));
            }
        }
        Some(Message { at: value.at.clone(), what: shape.what, fields })
    }

    /// The name of a field that is read; what is said of others is said here.
    fn known(&mut self, member: &Member, shape: &Shape) -> Option<&'static str> {
        let spelled = match self.spelling {
            Spelling::Exact => member.key.clone(),
            Spelling::SnakeOrCamel => snake(&member.key),
        };
        if let Some(name) = shape.known.iter().find(|name| **name == spelled) {
            return Some(name);
        }
        if let Some((_, help)) = shape.later.iter().find(|(name, _)| *name == spelled) {
            self.not_yet(&member.key_at, &member.key, help);
        } else if let Some((_, help)) = shape.world.iter().find(|(name, _)| *name == spelled) {
            let message = format!("`{}` counts for nothing here: the scenario says it", member.key);
            self.warning(&member.key_at, message, format!("{help}; leave it out to lose this warning"));
        } else {
            self.unknown(member, shape);
        }
        None
    }

    fn unknown(&mut self, member: &Member, shape: &Shape) {
        let names: Vec<&str> = shape.names().collect();
        let help = match nearest(&member.key, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if shape.known.is_empty() => "there are no fields here: leave it out".to_owned(),
            None => format!("leave it out; read here are {}", listed(shape.known, "and")),
        };
        let message = format!("{} has no field `{}`", shape.what, shortened(&member.key));
        self.findings.push(Finding::error(member.key_at.clone(), message, help).label("unknown field"));
    }

    /// A field that must be there.
    pub fn needed<'v>(&mut self, message: &Message<'v>, name: &str, example: &str) -> Option<&'v Member> {
        let field = message.field(name);
        if field.is_none() {
            let said = format!("{} needs `{name}`", message.what);
            let place = message.at.start..message.at.start + 1;
            let finding = Finding::error(place, said, format!("add it, such as {example}"));
            self.findings.push(finding.label(format!("no `{name}` here")));
        }
        field
    }

    fn wrong(&mut self, value: &Value, what: &str, expected: &str) {
        let what = if what.starts_with('`') || what.contains(' ') { what.to_owned() } else { format!("`{what}`") };
        let found = value.kind.in_words();
        let message = format!("{what} is {expected}, and not {found}");
        let finding = Finding::error(value.at.clone(), message, format!("write {expected}"));
        self.findings.push(finding.label(format!("this is {found}")));
    }

    /// A field that is a table of this shape.
    pub fn table<'v>(&mut self, message: &Message<'v>, name: &str, shape: &Shape) -> Option<Message<'v>> {
        message.field(name).and_then(|member| self.message(&member.value, shape))
    }

    /// A field that is a list; `None` if it is left out or wrong.
    pub fn list<'v>(&mut self, message: &Message<'v>, name: &str) -> Option<&'v [Value]> {
        let value = &message.field(name)?.value;
        match &value.kind {
            Kind::List(list) => Some(list),
            _ => {
                self.wrong(value, name, "a list `[ … ]`");
                None
            }
        }
    }

    /// A field that is text.
    pub fn text<'v>(&mut self, message: &Message<'v>, name: &str) -> Option<At<&'v str>> {
        let value = &message.field(name)?.value;
        match &value.kind {
            Kind::Text(text) => Some(At { value: text.as_str(), at: value.at.clone() }),
            _ => {
                self.wrong(value, name, "text");
                None
            }
        }
    }

    /// A field that is true or false.
    pub fn truth(&mut self, message: &Message<'_>, name: &str) -> Option<At<bool>> {
        let value = unwrapped(&message.field(name)?.value);
        match &value.kind {
            Kind::Truth(truth) => Some(At { value: *truth, at: value.at.clone() }),
            _ => {
                self.wrong(value, name, "true or false");
                None
            }
        }
    }

    /// A field that is a number; protobuf takes it as text, too.
    pub fn number(&mut self, message: &Message<'_>, name: &str) -> Option<At<f64>> {
        let value = unwrapped(&message.field(name)?.value);
        match &value.kind {
            Kind::Number(text) | Kind::Text(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => return Some(At { value: number, at: value.at.clone() }),
                _ => self.wrong(value, name, "a number"),
            },
            _ => self.wrong(value, name, "a number"),
        }
        None
    }

    /// A field that is a whole number within these bounds.
    pub fn whole(&mut self, message: &Message<'_>, name: &str, low: u64, high: u64) -> Option<At<u64>> {
        let number = self.number(message, name)?;
        let fits = number.value.fract() == 0.0 && (low as f64..=high as f64).contains(&number.value);
        if !fits {
            let said = format!("`{name}` is a whole number from {low} to {high}, and not {}", number.value);
            self.error(&number.at, said, "write such a number");
            return None;
        }
        Some(At { value: number.value as u64, at: number.at })
    }

    /// A field that is a share in percent: `{ "value": 50 }`.
    pub fn percent(&mut self, message: &Message<'_>, name: &str) -> Option<At<f64>> {
        const PERCENT: Shape = Shape::of("a percentage", &["value"]);
        let member = message.field(name)?;
        if let Kind::Number(number) = &member.value.kind {
            let said = format!("`{name}` is a table with a `value` in percent, and not a number");
            self.error(&member.value.at, said, format!("write `{{ value: {number} }}`"));
            return None;
        }
        let inside = self.message(&member.value, &PERCENT)?;
        let Some(percent) = self.number(&inside, "value") else {
            // Protobuf's default for a number.
            return (!inside.has("value")).then(|| At { value: 0.0, at: member.value.at.clone() });
        };
        if !(0.0..=100.0).contains(&percent.value) {
            let said = format!("a percentage is 0 to 100, and not {}", percent.value);
            self.error(&percent.at, said, "write such a number");
            return None;
        }
        Some(percent)
    }

    /// A field that is a duration: `"0.1s"`.
    pub fn duration(&mut self, message: &Message<'_>, name: &str) -> Option<At<Duration>> {
        let value = &message.field(name)?.value;
        let read = match &value.kind {
            Kind::Text(text) => seconds(text),
            _ => None,
        };
        if read.is_none() {
            let said = format!("`{name}` is a duration in seconds like \"0.1s\"");
            let help = match &value.kind {
                Kind::Number(number) => format!("write \"{number}s\", if it is seconds"),
                _ => "write digits, a point and up to nine more if needed, and `s`".to_owned(),
            };
            self.error(&value.at, said, help);
        }
        read.map(|duration| At { value: duration, at: value.at.clone() })
    }

    /// A duration above zero.
    pub fn some_time(&mut self, message: &Message<'_>, name: &str) -> Option<At<Duration>> {
        let duration = self.duration(message, name)?;
        if duration.value.is_zero() {
            self.error(&duration.at, format!("`{name}` is no time at all"), "write how long, such as \"0.1s\"");
            return None;
        }
        Some(duration)
    }

    /// A field that is one of a few words.
    pub fn word(&mut self, message: &Message<'_>, name: &str, words: &[&'static str]) -> Option<At<&'static str>> {
        let text = self.text(message, name)?;
        let found = words.iter().find(|word| **word == text.value).copied();
        if found.is_none() {
            let help = match nearest(text.value, words.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", listed(words, "and")),
            };
            self.error(&text.at, format!("`{name}` cannot be `{}`", shortened(text.value)), help);
        }
        found.map(|value| At { value, at: text.at })
    }
}

/// What a wrapper holds: `{ "value": 3 }` for 3.
fn unwrapped(value: &Value) -> &Value {
    match &value.kind {
        Kind::Table(members) => match members.as_slice() {
            [only] if only.key == "value" => &only.value,
            _ => value,
        },
        _ => value,
    }
}

/// `lowerCamelCase` as `snake_case`.
pub fn snake(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// A duration as protobuf writes it in JSON: seconds with up to nine digits behind the point, and an `s`.
fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 9 || number.ends_with('.') {
        return None;
    }
    let nanos: u64 = format!("{part:0<9}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    Some(Duration::from_nanos(whole.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::import::source::{Syntax, parse};

    #[test]
    fn durations_are_protobufs() {
        for (text, nanos) in
            [("1s", 1_000_000_000), ("0.1s", 100_000_000), ("0.000000001s", 1), ("3600s", 3_600_000_000_000)]
        {
            assert_eq!(seconds(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for text in
            ["", "s", "1", "1ms", "-1s", ".5s", "1.s", "1e3s", "0.0000000001s", "99999999999999999s", "1 s", "+1s"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn keys_of_envoy_have_two_spellings() {
        assert_eq!(snake("leastRequestLbConfig"), "least_request_lb_config");
        assert_eq!(snake("lb_policy"), "lb_policy");
    }

    /// What is found in a table with the fields `a` and `b`.
    fn found(text: &str, read: impl Fn(&mut Reading<'_>, &Message<'_>)) -> Vec<String> {
        const SHAPE: Shape = Shape::of("the thing", &["a", "b"]);
        let mut findings = Findings::new("x", text);
        let value = parse(text, Syntax::Json, &mut findings).unwrap();
        let mut reading = Reading { findings: &mut findings, spelling: Spelling::SnakeOrCamel };
        if let Some(message) = reading.message(&value, &SHAPE) {
            read(&mut reading, &message);
        }
        findings.iter().map(|finding| finding.message.clone()).collect()
    }

    #[test]
    fn numbers_may_be_wrapped_or_text() {
        for text in [r#"{ "a": 3 }"#, r#"{ "a": "3" }"#, r#"{ "a": { "value": 3 } }"#, r#"{ "a": 3.0 }"#] {
            let none = found(text, |reading, message| {
                assert_eq!(reading.whole(message, "a", 1, 9).unwrap().value, 3, "{text}");
            });
            assert!(none.is_empty(), "{none:?}");
        }
        for text in [r#"{ "a": 3.5 }"#, r#"{ "a": -1 }"#, r#"{ "a": "x" }"#, r#"{ "a": true }"#, r#"{ "a": 1e300 }"#] {
            assert_eq!(found(text, |reading, message| assert!(reading.whole(message, "a", 1, 9).is_none())).len(), 1);
        }
    }

    #[test]
    fn a_percentage_is_a_table() {
        let read = |reading: &mut Reading<'_>, message: &Message<'_>| {
            reading.percent(message, "a");
        };
        assert!(found(r#"{ "a": { "value": 50 } }"#, read).is_empty());
        for bad in [r#"{ "a": 50 }"#, r#"{ "a": { "value": 101 } }"#, r#"{ "a": { "valu": 5 } }"#, r#"{ "a": [] }"#] {
            assert_eq!(found(bad, read).len(), 1, "{bad}");
        }
    }

    #[test]
    fn null_is_left_out() {
        assert!(found(r#"{ "a": null }"#, |_, message| assert!(!message.has("a"))).is_empty());
        assert_eq!(found(r#"{ "c": null }"#, |_, _| {}).len(), 1);
    }
}
