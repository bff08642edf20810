//! What fills an event, so that it compresses as well as real data does and no better?
//!
//! Compression stops at the end of each event, so the same text may fill all of them. Words and numbers in turn: JSON of
//! 400 bytes shrinks to two thirds with it, of 1,200 bytes to half. (A repeated letter would shrink to nothing.)

/// What business data is about.
const WORDS: [&str; 60] = [
    "account",
    "address",
    "agreed",
    "amount",
    "approved",
    "assigned",
    "balance",
    "billing",
    "branch",
    "campaign",
    "cancelled",
    "carrier",
    "closed",
    "comment",
    "company",
    "contact",
    "contract",
    "country",
    "created",
    "currency",
    "customer",
    "deadline",
    "delivered",
    "department",
    "discount",
    "document",
    "due",
    "email",
    "estimate",
    "invoice",
    "language",
    "lead",
    "manager",
    "meeting",
    "note",
    "number",
    "opened",
    "order",
    "owner",
    "paid",
    "partner",
    "payment",
    "pending",
    "phone",
    "pipeline",
    "price",
    "priority",
    "product",
    "project",
    "quantity",
    "quote",
    "region",
    "rejected",
    "renewal",
    "reply",
    "shipped",
    "stage",
    "status",
    "team",
    "warehouse",
];
/// After how many words a number stands.
const NUMBER_AFTER: u32 = 3;

/// So many bytes of text that needs no escapes in JSON; always the same.
pub(super) fn filling(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    let (mut state, mut words) = (0x2545_f491_4f6c_dd1d_u64, 0);
    while text.len() < bytes {
        // xorshift: no word shall follow from the one before in a way that deflate can see.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let drawn = (state >> 32) as usize;
        if words == NUMBER_AFTER {
            text += &format!("{:06} ", drawn % 1_000_000);
            words = 0;
        } else {
            text += WORDS[drawn % WORDS.len()];
            text.push(' ');
            words += 1;
        }
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflate::deflated;

    #[test]
    fn the_filling_has_the_wanted_size_and_needs_no_escapes() {
        for bytes in [0, 1, 100, 60_000] {
            let text = filling(bytes);
            assert_eq!((text.len(), serde_json::json!(text).to_string().len()), (bytes, bytes + 2));
        }
    }

    #[test]
    fn the_filling_compresses_as_text_does() {
        let share = |bytes: usize| deflated(filling(bytes).as_bytes()).len() as f64 / bytes as f64;
        assert!((0.6..0.9).contains(&share(164)), "{}", share(164));
        assert!((0.4..0.65).contains(&share(964)), "{}", share(964));
    }
}
