use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use zip::CompressionMethod;
use zip::read::ZipArchive;
use zip::result::ZipError;

use super::{Refusal, refuse};

/// The pickle of a checkpoint holds names and shapes: some hundred bytes a tensor.
const MOST_PICKLE: u64 = 16 << 20;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Archive {
    /// `data.pkl`, whose checksum is right.
    pub(super) pickle: Vec<u8>,
    /// Where each record of numbers lies in the file, by its key. None overlaps another entry.
    pub(super) records: BTreeMap<String, Range<u64>>,
}

#[derive(Debug)]
pub(super) enum Failure {
    Refused(Refusal),
    Io(io::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl From<ZipError> for Failure {
    fn from(error: ZipError) -> Failure {
        match error {
            // A file that ends where something should follow is damaged; reading it again does not help.
            ZipError::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => Failure::Io(source),
            other => {
                Failure::Refused(Refusal { rule: "must be a whole zip archive", found: other.to_string() })
            }
        }
    }
}

/// Reads the directory of the zip and the pickle.
pub(super) fn read(mut file: impl Read + Seek, size: u64) -> Result<Archive, Failure> {
    check_beginning(&mut file)?;
    let mut zip = ZipArchive::new(BufReader::new(file))?;
    if zip.offset() != 0 || zip.has_duplicate_names() {
        let found = if zip.offset() != 0 { "bytes before it" } else { "an entry twice" };
        return Ok(refuse("must be a zip archive as torch.save writes it", found)?);
    }
    let mut entries = BTreeMap::new();
    let mut spans = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index)?;
        let name = entry.name()?.into_owned();
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Ok(refuse("must store every entry uncompressed and unencrypted", name)?);
        }
        let end = entry.data_start().and_then(|start| Some((start, start.checked_add(entry.size())?)));
        let Some((start, end)) =
            end.filter(|(_, end)| *end <= size && entry.size() == entry.compressed_size())
        else {
            return Ok(refuse("must hold every entry whole", name)?);
        };
        spans.push((entry.header_start()..end, name.clone()));
        entries.insert(name, (index, start..end));
    }
    spans.sort_by_key(|(span, _)| (span.start, span.end));
    for pair in spans.windows(2) {
        if let [(first, a), (second, b)] = pair
            && second.start < first.end
        {
            return Ok(refuse("must not hold entries that overlap", format!("{a} and {b}"))?);
        }
    }
    let mut roots = entries.keys().filter_map(|name| name.strip_suffix("/data.pkl"));
    let (Some(root), None) = (roots.next(), roots.next()) else {
        return Ok(refuse("must hold one data.pkl in a folder", format!("{} entries", entries.len()))?);
    };
    if let Some((index, _)) = entries.get(&format!("{root}/byteorder")) {
        let order = contents(&mut zip, *index, 64)?;
        if order != b"little" {
            return Ok(refuse("must be little-endian", String::from_utf8_lossy(&order))?);
        }
    }
    let prefix = format!("{root}/data/");
    let records = entries
        .iter()
        .filter_map(|(name, (_, range))| Some((name.strip_prefix(&prefix)?.to_owned(), range.clone())))
        .collect();
    let index = entries.get(&format!("{root}/data.pkl")).map_or(0, |(index, _)| *index);
    Ok(Archive { pickle: contents(&mut zip, index, MOST_PICKLE)?, records })
}

/// Tells zip archives from what torch wrote before them.
fn check_beginning(file: &mut (impl Read + Seek)) -> Result<(), Failure> {
    let mut first = Vec::new();
    file.take(4).read_to_end(&mut first).map_err(Failure::Io)?;
    file.seek(SeekFrom::Start(0)).map_err(Failure::Io)?;
    match first.as_slice() {
        b"PK\x03\x04" => Ok(()),
        [0x80, ..] => Ok(refuse(
            "must be in torch's zip format; load it and save it again with torch 1.6 or later",
            "a bare pickle, as older versions wrote",
        )?),
        _ => Ok(refuse(
            "must be a zip archive as torch.save writes it",
            format!("a file that begins {first:02x?}"),
        )?),
    }
}

/// Bytes of a small entry; the zip library compares them with their checksum.
fn contents<R: Read + Seek>(zip: &mut ZipArchive<R>, index: usize, most: u64) -> Result<Vec<u8>, Failure> {
    let entry = zip.by_index(index)?;
    if entry.size() > most {
        let found = format!("{} bytes", entry.size());
        return Ok(refuse("must have a pickle of at most 16 MiB", found)?);
    }
    let mut bytes = Vec::with_capacity(entry.size() as usize);
    match entry.take(most + 1).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            Ok(refuse("must be a whole zip archive", e.to_string())?)
        }
        Err(e) => Err(ZipError::Io(e).into()),
    }
}
