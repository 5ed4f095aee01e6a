//! A tenant as one word that comes through pipes, shells and `xargs` as it went in: whatever is not a letter of
//! ASCII, a digit or one of `_.-` is percent-encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{DatabaseName, InvalidSchemaName, SchemaName, TenantId};

const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-');

/// Why a word is no tenant's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTenantWord {
    /// Without a slash nobody knows where the schema's name begins.
    #[error("write it as DATABASE/SCHEMA, such as main/acme")]
    Bare,
    /// Names are text.
    #[error("what is behind the % is not UTF-8")]
    NotText,
    /// No tenant can be called so.
    #[error(transparent)]
    Schema(#[from] InvalidSchemaName),
}

impl TenantId {
    /// The tenant as one word, `main/acme%20corp`.
    pub fn to_word(&self) -> String {
        let database = utf8_percent_encode(self.database.as_str(), &ENCODED);
        let schema = utf8_percent_encode(self.schema.as_str(), &ENCODED);
        let word = format!("{database}/{schema}");
        // nobody takes it for an option
        match word.strip_prefix('-') {
            Some(rest) => format!("%2D{rest}"),
            None => word,
        }
    }

    /// The tenant that a word means. What is not encoded counts as it stands, so that people may write names out.
    ///
    /// # Errors
    /// Says what is wrong with the word.
    pub fn from_word(word: &str) -> Result<Self, InvalidTenantWord> {
        let (database, schema) = word.split_once('/').ok_or(InvalidTenantWord::Bare)?;
        let decode = |text| {
            percent_decode_str(text)
                .decode_utf8()
                .map_err(|_| InvalidTenantWord::NotText)
        };
        Ok(Self {
            database: DatabaseName::new(&decode(database)?),
            schema: SchemaName::parse(&decode(schema)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(database: &str, schema: &str) -> TenantId {
        TenantId {
            database: DatabaseName::new(database),
            schema: SchemaName::parse(schema).unwrap(),
        }
    }

    #[test]
    fn plain_names_stay_as_they_are() {
        assert_eq!(id("main", "tenant_042").to_word(), "main/tenant_042");
        assert_eq!(id("-eu", "a/b c").to_word(), "%2Deu/a%2Fb%20c");
        assert_eq!(
            TenantId::from_word("main/50% \"x\""),
            Ok(id("main", "50% \"x\""))
        );
    }

    #[test]
    fn what_is_no_tenant_says_why() {
        assert_eq!(TenantId::from_word("acme"), Err(InvalidTenantWord::Bare));
        assert_eq!(
            TenantId::from_word("main/%FF"),
            Err(InvalidTenantWord::NotText)
        );
        assert_eq!(
            TenantId::from_word("main/"),
            Err(InvalidTenantWord::Schema(InvalidSchemaName::Empty))
        );
    }

    proptest! {
        #[test]
        fn any_name_comes_back_and_no_shell_sees_it(name in "[^\\x00]{1,15}") {
            if let Ok(schema) = SchemaName::parse(&name) {
                let tenant = TenantId { database: DatabaseName::new("eu-1"), schema };
                let word = tenant.to_word();
                prop_assert!(word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-%/".contains(&b)));
                prop_assert_eq!(TenantId::from_word(&word), Ok(tenant));
            }
        }
    }
}
