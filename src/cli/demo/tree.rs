//! The tree of files, shortened.

use std::{fmt::Write, fs, path::Path};

use convex_archiver::Result;

use super::{super::units::bytes, say::failed as failed_at};

/// Files of one folder that are drawn.
const SHOWN: usize = 3;

/// Draws what lies in a folder.
pub(super) fn draw(root: &Path) -> Result<String> {
    let mut text = format!("{}\n", root.display());
    draw_folder(root, "", &mut text)?;
    Ok(text)
}

fn draw_folder(folder: &Path, indent: &str, text: &mut String) -> Result<()> {
    let failed = |e| failed_at(folder, e);
    let mut entries = fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(|e| (e.path().is_dir(), e.file_name()));
    let files = entries.iter().filter(|e| e.path().is_file()).count();
    if files > SHOWN {
        entries.drain(SHOWN..files);
    }
    let last = entries.len().saturating_sub(1);
    for (i, entry) in entries.iter().enumerate() {
        let (branch, below) = if i == last { ("└── ", "    ") } else { ("├── ", "│   ") };
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        // A String takes everything.
        if path.is_dir() {
            let _ = writeln!(text, "{indent}{branch}{name}");
            draw_folder(&path, &format!("{indent}{below}"), text)?;
        } else {
            let size = entry.metadata().map_err(failed)?.len();
            let _ = writeln!(text, "{indent}{branch}{name}  {}", bytes(size));
        }
        if files > SHOWN && i + 1 == SHOWN {
            let _ = writeln!(text, "{indent}{below}… and {} more", files - SHOWN);
        }
    }
    Ok(())
}
