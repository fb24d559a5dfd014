//! The authorities that vouch for servers: the machine's, or Mozilla's where it has none, as containers made from scratch; and what a
//! person has to do where HTTPS fails for want of one.

use std::{error::Error, iter::successors};

use reqwest::{Certificate, Client, ClientBuilder};

/// What the TLS library says of a machine that has none.
const NONE: &str = "No CA certificates were loaded";

/// What to do, by the words of the TLS libraries.
const ADVICE: [(&str, &str); 2] = [
    (
        NONE,
        "HTTPS needs CA certificates, but there are none where SSL_CERT_FILE or SSL_CERT_DIR points: set SSL_CERT_FILE \
         to a file with CA certificates, or unset both (the certificates of the package `ca-certificates` are found \
         without them)",
    ),
    (
        "UnknownIssuer",
        "the server's certificate was issued by an authority that this machine does not know: install the package \
         `ca-certificates`, or set SSL_CERT_FILE to a file with the authority's certificate (perhaps that of a proxy)",
    ),
];

/// What to do about an error, if that is why.
pub(crate) fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    ADVICE.iter().find(|(words, _)| says(error, words)).map(|(_, advice)| *advice)
}

/// An HTTP client as `builder` makes it, with Mozilla's authorities on a machine that has none.
pub(crate) fn client(builder: impl Fn() -> ClientBuilder) -> reqwest::Result<Client> {
    builder().build().or_else(|error| match instead_of_none(&error) {
        Some(authorities) => {
            let authorities = authorities.map(Certificate::from_der).collect::<reqwest::Result<Vec<_>>>()?;
            builder().tls_certs_merge(authorities).build()
        }
        None => Err(error),
    })
}

/// The certificates (DER) of Mozilla's authorities, as of when this program was built, if an error says that the machine has none. Who named
/// a list of authorities never gets another one in its place.
pub(crate) fn instead_of_none(error: &(dyn Error + 'static)) -> Option<impl Iterator<Item = &'static [u8]> + use<>> {
    #[allow(clippy::disallowed_methods, reason = "these are the TLS library's, which reads them itself")]
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(|name| std::env::var_os(name).is_some());
    instead_of(error, named)
}

fn instead_of(error: &(dyn Error + 'static), named: bool) -> Option<impl Iterator<Item = &'static [u8]> + use<>> {
    (!named && says(error, NONE)).then(|| webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(AsRef::as_ref))
}

/// Whether an error or a cause of it contains these words.
fn says(error: &(dyn Error + 'static), words: &str) -> bool {
    successors(Some(error), |e| (*e).source()).any(|e| e.to_string().contains(words))
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

    #[test]
    fn every_authority_of_mozillas_list_makes_a_client_and_a_named_list_is_never_replaced() {
        let none = crate::Error::internal("cannot connect").with_source(crate::Error::internal(NONE));
        assert!(instead_of(&none, true).is_none());
        assert!(instead_of(&crate::Error::internal("connection refused"), false).is_none());
        let authorities: Vec<_> =
            instead_of(&none, false).unwrap().map(|der| Certificate::from_der(der).unwrap()).collect();
        assert!(authorities.len() > 100);
        Client::builder().tls_certs_only(authorities).build().unwrap();
    }
}
