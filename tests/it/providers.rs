//! One suite of stories over all providers. What a provider can't do is read from the capabilities that callers see, and
//! the story then shows that it is refused by that name: nothing is skipped.

mod claims;
mod eko;
mod enkash;
pub(crate) mod enkash_mandates;
mod enkash_refunds;
mod settlements;
pub(crate) mod shop;
mod stories;

use shop::{At, Shop};

/// Each story at each provider.
macro_rules! at_every_provider {
    ($($story:ident,)*) => {
        $(mod $story {
            use super::At;

            #[tokio::test]
            async fn at_razorpay() {
                super::stories::$story(At::Razorpay).await;
            }

            #[tokio::test]
            async fn at_enkash() {
                super::stories::$story(At::Enkash).await;
            }

            #[tokio::test]
            async fn at_oqpay() {
                super::stories::$story(At::Oqpay).await;
            }

            #[tokio::test]
            async fn at_eko() {
                super::stories::$story(At::Eko).await;
            }
        })*
    };
}

at_every_provider! {
    a_code_is_made_once_and_read,
    a_code_has_a_picture,
    codes_are_listed,
    a_code_is_closed,
    a_code_is_paid,
    a_code_comes_to_its_end,
    a_lost_request_is_found_out,
    a_lost_answer_is_found_out,
    a_callback_that_comes_twice_counts_once,
    a_late_callback_still_counts,
    a_forged_callback_changes_nothing,
    another_amount_is_a_mismatch,
    another_accounts_callback_changes_nothing,
    a_payment_is_refunded_in_whole_or_in_parts,
    a_refund_whose_request_is_lost_is_found_out,
    a_refund_whose_answer_is_lost_is_found_out,
    a_mandate_is_asked_for_or_refused_by_name,
}

/// What the suite found missing, in the words of the capabilities.
#[tokio::test]
async fn what_each_provider_lacks_is_said_by_its_capabilities() {
    let mut said = String::new();
    for at in At::ALL {
        let shop = Shop::open(at).await;
        for line in shop.what_it_lacks() {
            said.push_str(&format!("{}: {line}\n", at.name()));
        }
    }
    let expected = include_str!("providers/lacks.txt");
    assert_eq!(said, expected, "the capabilities say:\n{said}");
}
