//! Lines and columns, counted from 1; columns in characters, as PostgreSQL counts positions.

use crate::migration::Place;

/// The place of a byte of the body; an offset inside a character is that character's.
pub fn place_at(body: &str, byte_offset: usize) -> Place {
    PlaceCounter::new(body).advance_to(byte_offset)
}

/// The place of a character of the body, counted from 1 like the position in PostgreSQL's errors.
pub fn place_of_character(body: &str, character: usize) -> Place {
    let offset = body
        .char_indices()
        .nth(character.saturating_sub(1))
        .map_or(body.len(), |(offset, _)| offset);
    place_at(body, offset)
}

/// Counts on from where it is, so that the places of a long file's statements cost one reading.
pub(super) struct PlaceCounter<'a> {
    body: &'a [u8],
    at: usize,
    place: Place,
}

impl<'a> PlaceCounter<'a> {
    /// Begins at the start of a text.
    pub(super) fn new(body: &'a str) -> Self {
        Self {
            body: body.as_bytes(),
            at: 0,
            place: Place { line: 1, column: 1 },
        }
    }

    /// The place of an offset that is not before the last one asked for.
    pub(super) fn advance_to(&mut self, offset: usize) -> Place {
        let mut offset = offset.min(self.body.len());
        while offset > self.at && offset < self.body.len() && is_continuation(self.body[offset]) {
            offset -= 1;
        }
        for &byte in &self.body[self.at.min(offset)..offset] {
            if byte == b'\n' {
                self.place.line = self.place.line.saturating_add(1);
                self.place.column = 1;
            } else if !is_continuation(byte) {
                self.place.column = self.place.column.saturating_add(1);
            }
        }
        self.at = self.at.max(offset);
        self.place
    }
}

/// Whether a byte is the second or a later one of its character in UTF-8.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(line: u32, column: u32) -> Place {
        Place { line, column }
    }

    #[test]
    fn places_count_characters_and_lines() {
        let body = "é€\r\nx😀y";
        assert_eq!(place_at(body, 0), place(1, 1));
        assert_eq!(place_at(body, 2), place(1, 2));
        assert_eq!(
            place_at(body, 3),
            place(1, 2),
            "inside the second character"
        );
        assert_eq!(place_of_character(body, 5), place(2, 1));
        assert_eq!(place_of_character(body, 7), place(2, 3));
        assert_eq!(place_of_character(body, 99), place(2, 4));
        assert_eq!(place_of_character(body, 0), place(1, 1));
    }

    proptest! {
        #[test]
        fn the_place_of_a_character_is_found_by_counting(body in "[a-c\u{e9}\u{20ac}\u{1f600}\n\r]{0,80}", pick in 0usize..80) {
            let before: String = body.chars().take(pick).collect();
            let line = u32::try_from(before.matches('\n').count()).unwrap() + 1;
            let last = before.rsplit('\n').next().unwrap();
            let column = u32::try_from(last.chars().count()).unwrap() + 1;
            prop_assert_eq!(place_of_character(&body, pick + 1), place(line, column));
            prop_assert_eq!(place_at(&body, before.len()), place(line, column));
        }
    }
}
