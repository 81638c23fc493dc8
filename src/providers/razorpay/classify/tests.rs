//! What every answer means, on a first send and on a later one.

use super::*;

/// An answer, and what it means for each operation that changes something, and for a question.
const TABLE: &str = r#"
status code              reason                  description                                                                                     | create        close         refund        mandate       revoke        notice        execute       question
200    -                 -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
302    -                 -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    -                 -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR input_validation_failed The selected usage is invalid.                                                                  | refused       in_doubt      in_doubt      refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR input_validation_failed A rule that we never heard of.                                                                  | refused       in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR extra_field_sent        tax_invoice is/are not required and should not be sent                                          | refused       refused       refused       refused       refused       refused       refused       unanswered
400    BAD_REQUEST_ERROR -                       The selected usage is invalid.                                                                  | refused       in_doubt      in_doubt      refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR NA                      The selected fixed amount is invalid.                                                           | refused       in_doubt      in_doubt      refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The type field is required.                                                                     | refused       in_doubt      in_doubt      refused       in_doubt      refused       refused       unanswered
400    BAD_REQUEST_ERROR -                       The type is required.                                                                           | refused       in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The payment amount must be at least 1.                                                          | refused       in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       close_by must be between 946684800 and 4765046400                                               | refused       in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       close_by should be at least 2 minutes after current time                                        | refused       in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       close_by is/are not required and should not be sent                                             | refused       in_doubt      refused       refused       in_doubt      refused       refused       unanswered
400    BAD_REQUEST_ERROR -                       cust_1 is not a valid id.                                                                       | refused       refused       refused       refused       refused       refused       refused       unanswered
400    BAD_REQUEST_ERROR -                       The code was made, and the selected printer is invalid                                          | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR some_new_reason         The selected usage is invalid.                                                                  | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    SOME_NEW_ERROR    input_validation_failed The selected usage is invalid.                                                                  | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR NA                      The requested URL was not found on the server.                                                  | refused       refused       refused       refused       refused       refused       refused       unanswered
404    BAD_REQUEST_ERROR -                       The requested URL was not found on the server.                                                  | refused       refused       refused       refused       refused       refused       refused       unanswered
404    -                 -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR input_validation_failed The id provided does not exist                                                                  | refused       refused       in_doubt      refused       refused       refused       refused       absent
400    BAD_REQUEST_ERROR -                       The id provided does not exist.                                                                 | in_doubt      refused       in_doubt      refused       refused       refused       refused       absent
404    BAD_REQUEST_ERROR -                       The id provided does not exist                                                                  | in_doubt      refused       in_doubt      in_doubt      refused       in_doubt      in_doubt      absent
500    BAD_REQUEST_ERROR -                       The id provided does not exist                                                                  | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR input_validation_failed QR code is already closed                                                                       | refused       in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       QR code is already closed                                                                       | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR input_validation_failed We are facing some trouble completing your request at the moment. Please try again shortly.     | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       We are facing some trouble completing your request at the moment. Please try again shortly.     | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR NA                      The api key provided is invalid                                                                 | not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered unanswered
400    BAD_REQUEST_ERROR input_validation_failed The api secret provided is invalid.                                                             | not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered unanswered
400    BAD_REQUEST_ERROR NA                      The API {key/secret} provided is invalid.                                                       | not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered unanswered
400    BAD_REQUEST_ERROR -                       Authentication failed                                                                           | not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered unanswered
401    BAD_REQUEST_ERROR -                       Authentication failed                                                                           | not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered unanswered
401    -                 -                       -                                                                                               | not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered unanswered
403    BAD_REQUEST_ERROR -                       Access Denied                                                                                   | not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered unanswered
403    -                 -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR input_validation_failed Request failed because another payment operation is in progress.                                | not_delivered not_delivered not_delivered in_doubt      in_doubt      in_doubt      in_doubt      unanswered
408    -                 -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
409    BAD_REQUEST_ERROR -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
429    BAD_REQUEST_ERROR -                       Too many requests                                                                               | not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered unanswered
429    -                 -                       -                                                                                               | not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered not_delivered unanswered
500    SERVER_ERROR      NA                      We are facing some trouble completing your request at the moment. Please try again shortly.     | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
500    BAD_REQUEST_ERROR input_validation_failed The selected usage is invalid.                                                                  | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
502    GATEWAY_ERROR     -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
503    -                 -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
504    -                 -                       -                                                                                               | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The refund amount provided is greater than amount captured                                      | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR refund_limit_crossed    The refund amount provided is greater than amount captured                                      | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
409    BAD_REQUEST_ERROR -                       The refund amount provided is greater than amount captured                                      | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR input_validation_failed The payment has been fully refunded already                                                     | refused       in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR input_validation_failed The amount must be at least INR 1.00                                                            | refused       in_doubt      refused       refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Amount cannot be blank.                                                                         | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The amount must be an integer.                                                                  | in_doubt      in_doubt      refused       refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       pay_29QQoUBi66xm2f is not a valid id                                                            | refused       refused       refused       refused       refused       refused       refused       unanswered
400    BAD_REQUEST_ERROR NA                      Your account does not have enough balance to carry out the refund operation.                    | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR NA                      Your account does not have enough balance to carry out the refund operation. You can add funds. | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR NA                      invalid request sent                                                                            | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The payment status should be captured for action to be taken.                                   | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The selected speed is invalid.                                                                  | refused       in_doubt      refused       refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Instant refund not supported for the payment.                                                   | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Refund is currently not supported for this payment method.                                      | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Partial refund is currently not supported for this payment method.                              | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Refunds cannot be created on your account.                                                      | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Refunds cannot be created on your account for UPI payments.                                     | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Refund has already been processed.                                                              | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The refund on this payment is blocked due to ongoing dispute investigation.                     | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Duplicate receipt found for this refund request.                                                | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Notes validation failed.                                                                        | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Void is not supported for partial refunds.                                                      | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Refund is not supported by the bank because the payment is more than 6 months old               | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Payment is more than 6 months old, only instant refund is supported                             | in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The idempotency key must be at least 10 characters long.                                        | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
409    BAD_REQUEST_ERROR -                       Different request with the same idempotency key has already been processed.                     | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
409    BAD_REQUEST_ERROR -                       Another request with the same idempotency key is still in progress.                             | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
500    SERVER_ERROR      -                       Internal server error - Failed to fetch idempotency record                                      | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR invalid_contact_number  Contact number should be at least 8 digits, including country code                              | in_doubt      in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR NA                      Contact number should be at least 8 digits, including country code                              | in_doubt      in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Contact number contains invalid characters, only digits and + symbol are allowed.               | in_doubt      in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The email must be a valid email address.                                                        | in_doubt      in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The name may not be greater than 50 characters.                                                 | in_doubt      in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The name format is invalid.                                                                     | in_doubt      in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR NA                      Customer already exists for the merchant                                                        | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR amount_less_than_minimum_amount Order amount less than minimum amount allowed                                           | in_doubt      in_doubt      in_doubt      refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Order amount less than minimum amount allowed                                                   | in_doubt      in_doubt      in_doubt      refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       expected string but provided 356                                                                | in_doubt      in_doubt      in_doubt      refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       amount: is required.                                                                            | in_doubt      in_doubt      in_doubt      refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The amount field is required.                                                                   | refused       in_doubt      in_doubt      refused       in_doubt      refused       refused       unanswered
400    BAD_REQUEST_ERROR -                       The currency should be INR when method is upi                                                   | in_doubt      in_doubt      in_doubt      refused       in_doubt      refused       in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The order amount cannot be greater than the token max amount for upi recurring.                 | in_doubt      in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The minimum transaction amount allowed is Re. 5.                                                | in_doubt      in_doubt      in_doubt      refused       in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR input_validation_failed Amount exceeds maximum amount allowed.                                                          | refused       in_doubt      in_doubt      refused       in_doubt      refused       refused       unanswered
400    BAD_REQUEST_ERROR input_validation_failed Order receipt should be unique.                                                                 | refused       in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       The token cannot be cancelled in its current status.                                            | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR order_already_paid      Your payment has been declined as the order is already paid.                                    | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
400    BAD_REQUEST_ERROR -                       Payment already done for this order.                                                            | in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      in_doubt      unanswered
"#;

/// The status and the error of a line of the table.
fn parse(line: &str) -> (StatusCode, Option<Failure>) {
    let (answer, _) = line.split_once('|').expect("a bar divides the answer from its meaning");
    let mut words = answer.splitn(2, ' ');
    let status = words.next().and_then(|word| word.parse().ok()).and_then(|status| StatusCode::from_u16(status).ok());
    let mut rest = words.next().unwrap_or_default();
    let mut column = |last: bool| {
        let trimmed = rest.trim_start();
        let end = if last { trimmed.len() } else { trimmed.find(' ').unwrap_or(trimmed.len()) };
        rest = &trimmed[end..];
        Some(trimmed[..end].trim()).filter(|text| *text != "-").map(str::to_owned)
    };
    let failure = Failure { code: column(false), reason: column(false), description: column(true) };
    (status.expect("a line begins with a status"), Some(failure).filter(|failure| *failure != Failure::default()))
}

fn named(error: &CallError) -> &'static str {
    match error {
        CallError::Refused { .. } => "refused",
        CallError::NotDelivered(_) => "not_delivered",
        CallError::InDoubt(_) => "in_doubt",
    }
}

#[test]
fn what_every_answer_means_on_a_first_send() {
    let mut seen = String::new();
    for line in TABLE.trim().lines() {
        let (answer, _) = line.split_once('|').expect("a bar divides the answer from its meaning");
        if line.starts_with("status") {
            seen = format!("{line}\n");
            continue;
        }
        let (status, failure) = parse(line);
        let meant = |operation| named(&classify(operation, true, status, failure.as_ref())).to_owned();
        let question = match classify_question(status, failure.as_ref()) {
            AskError::Absent => "absent",
            AskError::Unanswered(_) => "unanswered",
        };
        let meant = MUTATIONS.iter().map(|operation| format!("{:<13}", meant(*operation))).collect::<Vec<_>>().join(" ");
        seen += &format!("{answer}| {meant} {question}\n");
    }
    assert_eq!(seen.trim(), TABLE.trim(), "\n{seen}");
}

#[test]
fn no_answer_to_a_later_send_proves_anything() {
    for line in TABLE.trim().lines().skip(1) {
        let (status, failure) = parse(line);
        for operation in MUTATIONS {
            assert_eq!(named(&classify(*operation, false, status, failure.as_ref())), "in_doubt", "{line}");
        }
    }
}

#[test]
fn every_rule_is_in_the_table() {
    let lines: Vec<_> = TABLE.trim().lines().skip(1).map(parse).collect();
    for (index, rule) in RULES.iter().enumerate() {
        let used = lines.iter().any(|(status, failure)| {
            rule.operations
                .iter()
                .any(|operation| RULES.iter().position(|other| other.fits(*operation, *status, failure.as_ref())) == Some(index))
        });
        assert!(used, "no line of the table meets rule {index}");
    }
}

#[test]
fn a_refusal_keeps_the_most_telling_code_and_a_bounded_text() {
    let failure = |reason: &str, description: String| Failure {
        code: Some(BAD_REQUEST.to_owned()),
        reason: Some(reason.to_owned()),
        description: Some(description),
    };
    let refused = |failure: &Failure| match classify(Operation::CreateQr, true, StatusCode::BAD_REQUEST, Some(failure)) {
        CallError::Refused { code, message } => (code, message),
        other => panic!("{other}"),
    };
    let (code, _) = refused(&failure("NA", "The type field is required.".to_owned()));
    assert_eq!(code, BAD_REQUEST);
    let (code, message) = refused(&failure(VALIDATION, "é".repeat(2_000)));
    assert_eq!((code.as_str(), message.chars().count()), (VALIDATION, 500));
}

#[test]
fn a_cause_repeats_no_text_of_the_provider() {
    let failure =
        Failure { code: Some("asha@examplebank said no".to_owned()), reason: None, description: Some("asha@examplebank".to_owned()) };
    let error = classify(Operation::CreateQr, true, StatusCode::BAD_REQUEST, Some(&failure)).to_string();
    assert!(!error.contains("asha"), "{error}");
}
