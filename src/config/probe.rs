//! Finds the line of a key. serde forgets where a value stood, but an error that is raised while it
//! reads carries its place: so the text is read once more and failed on purpose at the key in question.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One step of a path such as `databases[0].url`.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// The line, from 1, of the key at a path; where it is missing, of the nearest one around it.
pub(super) fn line_of(text: &str, path: &str) -> Option<usize> {
    let steps: Vec<Step<'_>> = path.split('.').flat_map(steps).collect();
    (1..=steps.len()).rev().find_map(|depth| {
        let seed = Follow {
            steps: &steps[..depth],
        };
        failed_at(seed, text)
    })
}

/// The line, from 1, of the first key that its mapping already has.
pub(super) fn line_of_duplicate(text: &str) -> Option<usize> {
    failed_at(FailAtDuplicate, text)
}

fn failed_at<'de>(seed: impl DeserializeSeed<'de>, text: &'de str) -> Option<usize> {
    let error = seed
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .err()?;
    error.location().map(|location| location.line())
}

/// `databases[0]` is two steps.
fn steps(part: &str) -> impl Iterator<Item = Step<'_>> {
    let (key, item) = match part.split_once('[') {
        Some((key, rest)) => (key, rest.trim_end_matches(']').parse().ok()),
        None => (part, None),
    };
    std::iter::once(Step::Key(key)).chain(item.map(Step::Item))
}

fn found<E: Error>() -> E {
    E::custom("found")
}

/// Goes along the steps and fails at the last.
struct Follow<'a> {
    steps: &'a [Step<'a>],
}

impl<'de> DeserializeSeed<'de> for Follow<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.steps.first() {
            Some(Step::Key(_)) => deserializer.deserialize_map(self),
            Some(Step::Item(_)) => deserializer.deserialize_seq(self),
            // Every visit fails, by the trait's defaults, and so at this value.
            None => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Follow<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("found")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.steps.split_first() else {
            return Err(found());
        };
        let key = Name {
            wanted,
            is_last: rest.is_empty(),
        };
        while let Some(is_wanted) = map.next_key_seed(&key)? {
            if is_wanted {
                map.next_value_seed(Follow { steps: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), rest)) = self.steps.split_first() else {
            return Err(found());
        };
        for _ in 0..*wanted {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        items.next_element_seed(Follow { steps: rest })?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Tells whether a key is the wanted one, and fails there if it is the last of the path.
struct Name<'a> {
    wanted: &'a str,
    is_last: bool,
}

impl<'de> DeserializeSeed<'de> for &Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for &Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        match (key == self.wanted, self.is_last) {
            (true, true) => Err(found()),
            (is_wanted, _) => Ok(is_wanted),
        }
    }
}

/// Reads everything and fails at a key that is there for the second time.
struct FailAtDuplicate;

impl<'de> DeserializeSeed<'de> for FailAtDuplicate {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FailAtDuplicate {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while map.next_key_seed(NewName { seen: &mut seen })?.is_some() {
            map.next_value_seed(FailAtDuplicate)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(FailAtDuplicate)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

struct NewName<'a> {
    seen: &'a mut HashSet<String>,
}

impl<'de> DeserializeSeed<'de> for NewName<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewName<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.seen.insert(key.to_owned()) {
            Ok(())
        } else {
            Err(found())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
control: {schema: a}
databases:
  - name: main
    tenants:
      list: [x,
             y]
  - name: other
    url:
execution:
  retry: { attempts: 5,
           backoff: 1s }
";

    #[test]
    fn finds_keys_items_and_what_is_around_a_missing_key() {
        let cases = [
            ("control.schema", 2),
            ("databases", 3),
            ("databases[0].tenants.list[1]", 7),
            ("databases[1]", 8),
            ("databases[1].url", 9),
            ("databases[1].tenants", 8),
            ("execution.retry.backoff", 12),
            ("execution.lock_timeout", 10),
        ];
        for (path, line) in cases {
            assert_eq!(line_of(TEXT, path), Some(line), "{path}");
        }
        assert_eq!(line_of(TEXT, "rollout.waves"), None);
    }

    #[test]
    fn finds_the_second_of_two_equal_keys() {
        let twice = TEXT.replace("url:", "name: again");
        assert_eq!(line_of_duplicate(&twice), Some(9));
        assert_eq!(line_of_duplicate(TEXT), None);
    }
}
