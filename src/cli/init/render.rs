//! The files for each scheduler, from templates. Each text of the user's is quoted as its format wants it.

use std::time::Duration;

use convex_archiver::{Error, Result};

use super::{args::Scheduler, schedule::Every};

/// What is put into the templates.
pub(super) struct Setup<'a> {
    /// An URL, or an absolute path.
    pub(super) archive: &'a str,
    /// For sentences.
    pub(super) deployment: &'a str,
    /// What `--deployment` has to say; None, if Convex tells.
    pub(super) deployment_url: Option<&'a str>,
    /// Whether the key may cross the network unencrypted.
    pub(super) allow_http: bool,
    pub(super) every: Every,
    pub(super) image: &'a str,
    pub(super) program: &'a str,
    pub(super) key_file: &'a str,
}

/// A file that is written.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// Where an archive is.
enum Place<'a> {
    S3 { bucket: &'a str, prefix: &'a str },
    Gcs { bucket: &'a str, prefix: &'a str },
    Azure,
    Folder,
}

impl<'a> Place<'a> {
    fn of(archive: &'a str) -> Self {
        let split = |rest: &'a str| rest.split_once('/').unwrap_or((rest, ""));
        match archive.split_once("://") {
            Some(("s3", rest)) => {
                let (bucket, prefix) = split(rest);
                Self::S3 { bucket, prefix }
            }
            Some(("gs", rest)) => {
                let (bucket, prefix) = split(rest);
                Self::Gcs { bucket, prefix }
            }
            Some(("az", _)) => Self::Azure,
            _ => Self::Folder,
        }
    }

    /// The variables that its credentials are in, for sentences.
    fn credentials(&self) -> &'static str {
        match self {
            Self::S3 { .. } => "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
            Self::Gcs { .. } => "GOOGLE_APPLICATION_CREDENTIALS",
            Self::Azure => "AZURE_STORAGE_CONNECTION_STRING",
            Self::Folder => "a folder needs none",
        }
    }
}

/// The files for a scheduler.
///
/// # Errors
/// Usage, if it cannot keep such an archive.
pub(super) fn files(scheduler: Scheduler, setup: &Setup<'_>) -> Result<Vec<NewFile>> {
    let place = Place::of(setup.archive);
    let file =
        |name, template: &str, more: &[(&str, String)]| NewFile { name, text: fill(template, setup, &place, more) };
    Ok(match scheduler {
        Scheduler::Cron => vec![file("convex-archiver.cron", include_str!("templates/cron"), &cron(setup)?)],
        Scheduler::Systemd => vec![
            file("convex-archiver.service", include_str!("templates/systemd.service"), &systemd(setup, &place)),
            file("convex-archiver.timer", include_str!("templates/systemd.timer"), &[]),
        ],
        Scheduler::Github => {
            vec![file("convex-archiver.github.yml", include_str!("templates/github.yml"), &github(setup, &place)?)]
        }
        Scheduler::Kubernetes => vec![file(
            "convex-archiver.kubernetes.yml",
            include_str!("templates/kubernetes.yml"),
            &kubernetes(setup, &place),
        )],
        Scheduler::Compose => {
            vec![file("convex-archiver.compose.yml", include_str!("templates/compose.yml"), &compose(setup, &place))]
        }
        Scheduler::Terraform => {
            let (template, arguments) = terraform(setup, &place)?;
            vec![file("convex-archiver.tf", template, &arguments)]
        }
    })
}

/// The template with its `{{names}}` filled in.
fn fill(template: &str, setup: &Setup<'_>, place: &Place<'_>, more: &[(&str, String)]) -> String {
    let minute = minute(setup.archive);
    let common = [
        ("archive", setup.archive.to_owned()),
        ("archive_yaml", yaml(setup.archive)),
        ("deployment", setup.deployment.to_owned()),
        ("every", setup.every.to_string()),
        ("every_yaml", yaml(&setup.every.flag())),
        ("cron", setup.every.cron(minute)),
        ("cron_yaml", yaml(&setup.every.cron(minute))),
        ("calendar", setup.every.calendar(minute)),
        ("credentials", place.credentials().to_owned()),
        ("image_yaml", yaml(setup.image)),
        ("image_hcl", hcl(setup.image)),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("max_lag", max_lag(setup.every)),
        ("allow_http", if setup.allow_http { " --allow-http" } else { "" }.to_owned()),
        ("allow_http_item", if setup.allow_http { ", --allow-http" } else { "" }.to_owned()),
    ];
    let mut text = String::new();
    let mut rest = template;
    // In one pass, so that what is put in is never looked through.
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        let found = after.split_once("}}").and_then(|(name, after)| {
            let value = more.iter().chain(&common).find(|(known, _)| *known == name);
            value.map(|(_, value)| (value, after))
        });
        match found {
            Some((value, after)) => {
                text.push_str(value);
                rest = after;
            }
            // GitHub's own `${{ … }}`.
            None => {
                text.push_str("{{");
                rest = after;
            }
        }
    }
    text + rest
}

/// At which minute hourly and daily runs begin: always the same for an archive, and not the full hour for all.
fn minute(archive: &str) -> u64 {
    archive.bytes().fold(7, |sum: u64, b| sum.wrapping_mul(31).wrapping_add(u64::from(b))) % 60
}

/// A lag that only a run that failed, or did not start, explains.
fn max_lag(every: Every) -> String {
    let least = Duration::from_secs(3 * 60 * 60);
    let hours = (3 * every.time()).max(least).as_secs() / 3600;
    format!("{hours}h")
}

fn cron(setup: &Setup<'_>) -> Result<[(&'static str, String); 6]> {
    // A `%` ends the line there, quoted or not.
    let word = |text: &str| quoted(text).map(|text| text.replace('%', "\\%"));
    let flag = setup.deployment_url.map(|url| word(url).map(|url| format!(" --deployment {url}"))).transpose()?;
    Ok([
        ("program", word(setup.program)?),
        ("key_file", word(setup.key_file)?),
        ("archive_cron", word(setup.archive)?),
        ("deployment_flag_cron", flag.unwrap_or_default()),
        ("cron_status", format!("{} 7,19 * * *", (minute(setup.archive) + 30) % 60)),
        ("credentials", Place::of(setup.archive).credentials().to_owned()),
    ])
}

fn quoted(text: &str) -> Result<String> {
    let quoted = shlex::try_quote(text);
    quoted.map(Into::into).map_err(|e| {
        Error::usage(format!("`{}` cannot be written on a command line", text.escape_debug())).with_source(e)
    })
}

fn systemd(setup: &Setup<'_>, place: &Place<'_>) -> Vec<(&'static str, String)> {
    let word = |text: &str| {
        // `%` and `$` are filled in inside of quotes, too.
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
        if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/:._-+@=%".contains(&b)) {
            text
        } else {
            format!("\"{text}\"")
        }
    };
    let user = match place {
        Place::Folder => format!(
            "# This user must exist, and the folder must belong to it.\nUser=convex-archiver\nReadWritePaths={}",
            word(setup.archive)
        ),
        _ => "DynamicUser=yes".to_owned(),
    };
    let flag = setup.deployment_url.map(|url| format!(" --deployment {}", word(url)));
    vec![
        ("program", word(setup.program)),
        ("key_file", word(setup.key_file)),
        ("archive_systemd", word(setup.archive)),
        ("deployment_flag_systemd", flag.unwrap_or_default()),
        ("user_systemd", user),
    ]
}

fn github(setup: &Setup<'_>, place: &Place<'_>) -> Result<Vec<(&'static str, String)>> {
    if setup.every.time() < Duration::from_secs(5 * 60) {
        return Err(Error::usage(
            "GitHub starts scheduled workflows at most every five minutes: use --every 5m or more",
        ));
    }
    let (words, permissions, steps) = match place {
        Place::S3 { .. } => (
            "Let GitHub take an AWS role (OpenID Connect) with the writer's policy of terraform/modules/archive_policy, and add its ARN and region as the variables \
             AWS_ROLE_ARN and AWS_REGION.",
            "\n  id-token: write",
            "\n      - uses: aws-actions/configure-aws-credentials@v5\n        with:\n          role-to-assume: ${{ vars.AWS_ROLE_ARN }}\n          \
             aws-region: ${{ vars.AWS_REGION }}\n          # Longer than the longest run.\n          role-duration-seconds: 21600",
        ),
        Place::Gcs { .. } => (
            "Let GitHub act as a service account (workload identity federation) with the writer's grants of terraform/modules/archive_policy, and add the variables \
             GCP_WORKLOAD_IDENTITY_PROVIDER and GCP_SERVICE_ACCOUNT.",
            "\n  id-token: write",
            "\n      - uses: google-github-actions/auth@v3\n        with:\n          workload_identity_provider: ${{ vars.GCP_WORKLOAD_IDENTITY_PROVIDER }}\n          \
             service_account: ${{ vars.GCP_SERVICE_ACCOUNT }}\n      - uses: google-github-actions/setup-gcloud@v3",
        ),
        Place::Azure => ("Add the secret AZURE_STORAGE_CONNECTION_STRING.", "", ""),
        Place::Folder => {
            return Err(Error::usage(format!(
                "the disk of a GitHub workflow is deleted after the run, and {} is a folder: use --archive s3://…, \
                 gs://… or az://…",
                setup.archive
            )));
        }
    };
    let mut env = setup.deployment_url.map(|url| format!("\n          CONVEX_URL: {}", yaml(url))).unwrap_or_default();
    if matches!(place, Place::Azure) {
        env.push_str("\n          AZURE_STORAGE_CONNECTION_STRING: ${{ secrets.AZURE_STORAGE_CONNECTION_STRING }}");
    }
    Ok(vec![
        ("github_credentials_words", words.to_owned()),
        ("github_permissions", permissions.to_owned()),
        ("github_credentials_steps", steps.to_owned()),
        ("deployment_env_github", env),
    ])
}

fn kubernetes(setup: &Setup<'_>, place: &Place<'_>) -> Vec<(&'static str, String)> {
    let words = match place {
        Place::S3 { .. } => {
            "The store's credentials: give the service account an AWS role (EKS Pod Identity, or IRSA), or add AWS_* from a secret to `env`."
        }
        Place::Gcs { .. } => {
            "The store's credentials: let the service account act as one of Google Cloud (Workload Identity Federation for GKE)."
        }
        Place::Azure => "The store's credentials: add AZURE_STORAGE_CONNECTION_STRING from a secret to `env`.",
        Place::Folder => "The archive is on the volume of the claim convex-archive, which must exist.",
    };
    let env = setup
        .deployment_url
        .map(|url| format!("\n                - name: CONVEX_URL\n                  value: {}", yaml(url)));
    let (mount, volume) = match place {
        Place::Folder => (
            format!("\n                - {{name: archive, mountPath: {}}}", yaml(setup.archive)),
            "\n            - name: archive\n              persistentVolumeClaim: {claimName: convex-archive}"
                .to_owned(),
        ),
        _ => Default::default(),
    };
    vec![
        ("kubernetes_credentials_words", words.to_owned()),
        ("deployment_env_kubernetes", env.unwrap_or_default()),
        ("archive_mount_kubernetes", mount),
        ("archive_volume_kubernetes", volume),
    ]
}

fn compose(setup: &Setup<'_>, place: &Place<'_>) -> Vec<(&'static str, String)> {
    let env = setup.deployment_url.map(|url| format!("\n      CONVEX_URL: {}", yaml(&dollars(url))));
    let (inside, volume) = match place {
        Place::Folder => {
            ("/archive".to_owned(), format!("\n      - {}", yaml(&format!("{}:/archive", dollars(setup.archive)))))
        }
        _ => (dollars(setup.archive), String::new()),
    };
    vec![
        ("deployment_env_compose", env.unwrap_or_default()),
        ("archive_inside_yaml", yaml(&inside)),
        ("archive_volume_compose", volume),
    ]
}

/// Compose fills in `$NAME`.
fn dollars(text: &str) -> String {
    text.replace('$', "$$")
}

fn terraform(setup: &Setup<'_>, place: &Place<'_>) -> Result<(&'static str, Vec<(&'static str, String)>)> {
    let (template, mut arguments, bucket, prefix) = match place {
        Place::S3 { bucket, prefix } => (
            include_str!("templates/aws.tf"),
            vec![
                ("image", "var.image".to_owned()),
                ("vpc_id", "data.aws_vpc.default.id".to_owned()),
                ("subnet_ids", "data.aws_subnets.default.ids".to_owned()),
                ("assign_public_ip", "true".to_owned()),
                ("schedule_expression", hcl(&setup.every.rate())),
            ],
            bucket,
            prefix,
        ),
        Place::Gcs { bucket, prefix } => (
            include_str!("templates/gcp.tf"),
            vec![
                ("project_id", "var.project_id".to_owned()),
                ("region", "var.region".to_owned()),
                ("image", "var.image".to_owned()),
                ("schedule", hcl(&setup.every.cron(minute(setup.archive)))),
            ],
            bucket,
            prefix,
        ),
        Place::Azure | Place::Folder => {
            return Err(Error::usage(format!(
                "there are Terraform modules only for AWS and Google Cloud, and {} is in neither: use --archive s3://… \
                 or gs://…",
                setup.archive
            )));
        }
    };
    // A run ends before the next one is due.
    let minutes = (setup.every.time().as_secs() / 60 * 5 / 6).clamp(1, 300);
    arguments.extend([
        ("bucket_name", hcl(bucket)),
        ("prefix", hcl(prefix)),
        ("max_duration_minutes", minutes.to_string()),
    ]);
    arguments.extend(setup.deployment_url.map(|url| ("deployment_url", hcl(url))));
    arguments.extend(setup.allow_http.then(|| ("sync_arguments", "[\"--allow-http\"]".to_owned())));
    let width = arguments.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = arguments.iter().map(|(name, value)| format!("  {name:width$} = {value}\n"));
    Ok((template, vec![("module_arguments", lines.collect())]))
}

/// A string of YAML: those of JSON are.
fn yaml(text: &str) -> String {
    // A text can always be spelled.
    serde_json::to_string(text).unwrap_or_default()
}

/// A string of HCL, in which `${` and `%{` begin something else.
fn hcl(text: &str) -> String {
    yaml(text).replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(archive: &str) -> Setup<'_> {
        Setup {
            archive,
            deployment: "otter-1",
            deployment_url: Some("http://10.0.0.1:3210/$x%y"),
            allow_http: true,
            every: Every::Hours(1),
            image: "registry/a:1",
            program: "/opt/my tools/convex-archiver",
            key_file: "/etc/it's",
        }
    }

    #[test]
    fn what_the_user_says_is_quoted_as_each_format_wants_it() {
        let text = |scheduler, archive| files(scheduler, &setup(archive)).unwrap().remove(0).text;
        let cron = text(Scheduler::Cron, "s3://a/50% {{every}}");
        assert!(cron.contains("'s3://a/50\\% {{every}}'") && cron.contains("\"/etc/it's\""), "{cron}");
        let systemd = text(Scheduler::Systemd, "/srv/a \"b\" $c");
        assert!(systemd.contains("--archive \"/srv/a \\\"b\\\" $$c\""), "{systemd}");
        assert!(systemd.contains("\"http://10.0.0.1:3210/$$x%%y\""), "{systemd}");
        assert!(text(Scheduler::Compose, "/srv/$a").contains("\"/srv/$$a:/archive\""));
        assert!(text(Scheduler::Terraform, "s3://bucket/a${b}").contains("\"a$${b}\""));
        assert!(text(Scheduler::Github, "s3://bucket/a").contains("${{ secrets.CONVEX_DEPLOY_KEY }}"));
    }

    #[test]
    fn no_name_of_a_template_is_left_unfilled() {
        for scheduler in [
            Scheduler::Cron,
            Scheduler::Systemd,
            Scheduler::Github,
            Scheduler::Kubernetes,
            Scheduler::Compose,
            Scheduler::Terraform,
        ] {
            for archive in ["s3://bucket/a", "gs://bucket/a", "az://box/a", "/srv/a"] {
                let Ok(files) = files(scheduler, &setup(archive)) else { continue };
                for file in files.into_iter().filter(|file| file.name != "convex-archiver.timer") {
                    assert!(file.text.contains("--allow-http"), "{}", file.name);
                    let left = file.text.replace("${{ ", "");
                    assert!(!left.contains("{{"), "{}: {left}", file.name);
                }
            }
        }
    }

    #[test]
    fn what_a_scheduler_cannot_keep_is_refused() {
        for (scheduler, archive) in
            [(Scheduler::Github, "/srv/a"), (Scheduler::Terraform, "/srv/a"), (Scheduler::Terraform, "az://box/a")]
        {
            let error = files(scheduler, &setup(archive)).unwrap_err();
            assert!(error.to_string().contains("use --archive"), "{error}");
        }
        let each_minute = Setup { every: Every::Minutes(1), ..setup("s3://bucket/a") };
        let error = files(Scheduler::Github, &each_minute).unwrap_err();
        assert!(error.to_string().contains("five minutes"), "{error}");
    }
}
