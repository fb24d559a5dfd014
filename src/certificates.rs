//! What a person has to do where HTTPS fails for want of an authority's certificate. Containers made from scratch have none.

use std::{error::Error, iter::successors};

/// What to do, by the words of the TLS libraries.
const ADVICE: [(&str, &str); 2] = [
    (
        "No CA certificates were loaded",
        "HTTPS needs the certificates of authorities, and this machine has none: install the package `ca-certificates`, or set \
         SSL_CERT_FILE to a file that holds them",
    ),
    (
        "UnknownIssuer",
        "the server's certificate is of an authority that this machine does not know: install the package `ca-certificates`, or set \
         SSL_CERT_FILE to a file that holds the authority's certificate (that of a proxy, perhaps)",
    ),
];

/// What to do about an error, if that is why.
pub(crate) fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let texts: Vec<_> = successors(Some(error), |e| (*e).source()).map(ToString::to_string).collect();
    let says = |words: &str| texts.iter().any(|text| text.contains(words));
    ADVICE.iter().find(|(words, _)| says(words)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_found_by_the_cause_and_other_errors_have_none() {
        let of = |text: &str| {
            let cause = crate::Error::internal(text);
            let outer = crate::Error::internal("cannot connect").with_source(cause);
            advice(&outer).is_some_and(|advice| advice.contains("ca-certificates") && advice.contains("SSL_CERT_FILE"))
        };
        assert!(of("unexpected error: No CA certificates were loaded from the system"));
        assert!(of("invalid peer certificate: UnknownIssuer"));
        assert!(!of("connection refused"));
    }
}
