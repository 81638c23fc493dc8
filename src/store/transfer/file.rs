//! A backup file: the pieces of a store, whatever backend they came from.
//!
//! It begins with [`MAGIC`]. Then come frames: four bytes of length (big-endian) and so many bytes of JSON. The first is the
//! [`Header`], the last the [`End`] with what must have stood before it; between them is a piece a frame. The checksum tells
//! damage, not malice: who can write the file can make another that fits. Nothing of a file is used before all of it was read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Giver, Origin, Pages, Piece, Sink, Totals};
use crate::domain::id::PARTITIONS_MAX;
use crate::store::{StoreError, record};

const MAGIC: &[u8; 16] = b"upistream store\n";
/// The version of the file that this release writes, and the only one that it reads.
const VERSION: u32 = 1;
/// The largest frame. The largest record is a callback that was kept, of a mebibyte at most; here it is a third larger.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Only who may read the store itself may read a backup of it.
const MODE: u32 = 0o600;

/// What stands before the pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    version: u32,
    /// The format that records are stored in.
    record_format: u32,
    partitions: u16,
    #[serde(with = "super::base64_text")]
    fingerprint_key: Vec<u8>,
    /// When it was begun, in ms since 1970.
    begun_ms: u64,
}

/// What stands after the pieces.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    totals: Totals,
    /// SHA-256 of all bytes before this frame, in hexadecimal digits.
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Frame {
    Header(Header),
    Piece(Piece),
    End(End),
}

/// Why a backup file can't be written or used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("`{}` is there already; name another file, or move that one away", path.display())]
    Exists { path: PathBuf },
    #[error("`{}` can't be used: {source}; look at the path and at the room there", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{}` is not a backup of this service; name a file that `upistream store backup` made", path.display())]
    NotABackup { path: PathBuf },
    #[error("`{}` is a backup of version {found}, and this release reads version {VERSION}; use the release that made it", path.display())]
    Version { path: PathBuf, found: u32 },
    #[error("`{}` has records in format {found}, which this release can't read; use the release that made it", path.display())]
    RecordFormat { path: PathBuf, found: u32 },
    #[error("`{}` is damaged: {what}; use another backup", path.display())]
    Damaged { path: PathBuf, what: String },
}

/// A file that is being written. Until it is finished it has another name, so that half a backup looks like none.
pub struct FileWriter {
    path: PathBuf,
    part: PathBuf,
    out: BufWriter<File>,
    digest: Sha256,
}

impl FileWriter {
    /// Begins the file `path`, which must not be there yet, at `now_ms`.
    pub fn create(path: &Path, origin: &Origin, now_ms: u64) -> Result<Self, FileError> {
        if path.exists() {
            return Err(FileError::Exists { path: path.to_owned() });
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let opened = OpenOptions::new().create(true).write(true).truncate(true).mode(MODE).open(&part);
        let file = opened.map_err(|source| FileError::Io { path: part.clone(), source })?;
        let mut writer = Self { path: path.to_owned(), part, out: BufWriter::new(file), digest: Sha256::new() };
        let header = Header {
            version: VERSION,
            record_format: record::FORMAT,
            partitions: origin.partitions,
            fingerprint_key: origin.fingerprint_key.to_vec(),
            begun_ms: now_ms,
        };
        let begun = writer.write(MAGIC).and_then(|()| writer.frame(&Frame::Header(header)));
        begun.map_err(|source| writer.failed(source))?;
        Ok(writer)
    }

    fn frame(&mut self, frame: &Frame) -> io::Result<()> {
        let json = serde_json::to_vec(frame)?;
        let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= FRAME_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("something in the store is larger than a backup holds"))?;
        self.write(&length.to_be_bytes())?;
        self.write(&json)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.out.write_all(bytes)
    }

    fn failed(&self, source: io::Error) -> FileError {
        FileError::Io { path: self.part.clone(), source }
    }

    /// Writes the end and gives the file its name; its bytes, once they are on disk.
    pub fn finish(mut self, totals: &Totals) -> Result<u64, FileError> {
        let sha256 = hex(&self.digest.clone().finalize());
        let end = Frame::End(End { totals: totals.clone(), sha256 });
        let written = self.frame(&end).and_then(|()| self.out.flush()).and_then(|()| self.out.get_ref().sync_all());
        written.map_err(|source| self.failed(source))?;
        let named = self.out.get_ref().metadata().and_then(|metadata| {
            // Unlike a rename, a link never takes the place of a file that came to be meanwhile.
            fs::hard_link(&self.part, &self.path)?;
            fs::remove_file(&self.part)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
            Ok(metadata.len())
        });
        named.map_err(|source| FileError::Io { path: self.path.clone(), source })
    }
}

#[async_trait]
impl Sink for FileWriter {
    async fn put(&mut self, page: Vec<Piece>) -> Result<(), StoreError> {
        for piece in page {
            let written = self.frame(&Frame::Piece(piece));
            written.map_err(|cause| StoreError::Unavailable(format!("the file can't be written: {cause}")))?;
        }
        Ok(())
    }
}

/// A file that was read to its end and found whole.
#[derive(Clone, Debug)]
pub struct Backup {
    path: PathBuf,
    pub origin: Origin,
    pub totals: Totals,
    /// When it was begun, in ms since 1970.
    pub begun_ms: u64,
    sha256: String,
}

impl Backup {
    /// Reads all of `path`, and keeps nothing of it but what is to be expected of it.
    pub fn check(path: &Path) -> Result<Self, FileError> {
        let mut reader = Reader::open(path)?;
        let header = reader.header()?;
        let (mut totals, partitions) = (Totals::default(), header.partitions);
        let sha256 = loop {
            let so_far = hex(&reader.digest.clone().finalize());
            match reader.frame()? {
                Frame::Piece(piece) if piece.fits(partitions) => totals.count(&piece),
                Frame::End(End { totals: counted, sha256 }) if sha256 == so_far && counted == totals => break sha256,
                Frame::End(_) => return Err(reader.damaged("its checksum is another")),
                Frame::Piece(_) | Frame::Header(_) => return Err(reader.damaged("something stands where it does not belong")),
            }
        };
        reader.expect_end()?;
        let key = <[u8; 32]>::try_from(header.fingerprint_key).map_err(|_| reader.damaged("its header can't be read"))?;
        let origin = Origin { fingerprint_key: key, partitions };
        Ok(Self { path: path.to_owned(), origin, totals, begun_ms: header.begun_ms, sha256 })
    }

    /// Its pieces. They end well only if the file is still the one that was checked.
    pub fn pages(&self) -> Pages {
        let (giver, pages) = Giver::new();
        let backup = self.clone();
        tokio::task::spawn_blocking(move || backup.give(giver));
        pages
    }

    fn give(&self, mut giver: Giver) {
        let read = self.read(&mut giver);
        giver.end_blocking(read.map_err(|cause| StoreError::Broken(cause.to_string())));
    }

    fn read(&self, giver: &mut Giver) -> Result<(), FileError> {
        let mut reader = Reader::open(&self.path)?;
        reader.header()?;
        loop {
            match reader.frame()? {
                Frame::Piece(piece) => {
                    if !giver.give_blocking(piece) {
                        return Ok(());
                    }
                }
                Frame::End(End { sha256, .. }) if sha256 == self.sha256 => return reader.expect_end(),
                Frame::End(_) | Frame::Header(_) => return Err(reader.damaged("it was changed while it was read")),
            }
        }
    }
}

struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    digest: Sha256,
}

impl Reader {
    fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file: BufReader::new(file), digest: Sha256::new() })
    }

    fn damaged(&self, what: &str) -> FileError {
        FileError::Damaged { path: self.path.clone(), what: what.to_owned() }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), FileError> {
        match self.file.read_exact(bytes) {
            Ok(()) => {
                self.digest.update(&*bytes);
                Ok(())
            }
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged("it ends too early")),
            Err(source) => Err(FileError::Io { path: self.path.clone(), source }),
        }
    }

    fn header(&mut self) -> Result<Header, FileError> {
        let not_a_backup = FileError::NotABackup { path: self.path.clone() };
        let mut magic = [0; MAGIC.len()];
        match self.fill(&mut magic) {
            Ok(()) if magic == *MAGIC => {}
            Ok(()) | Err(FileError::Damaged { .. }) => return Err(not_a_backup),
            Err(cause) => return Err(cause),
        }
        let json = self.bytes()?;
        // The version first: what else stands in another version's header is not known here.
        let found = serde_json::from_slice::<OnlyVersion>(&json).map_err(|_| self.damaged("its header can't be read"))?;
        if found.header.version != VERSION {
            return Err(FileError::Version { path: self.path.clone(), found: found.header.version });
        }
        let Ok(Frame::Header(header)) = serde_json::from_slice(&json) else { return Err(self.damaged("its header can't be read")) };
        if !record::can_read(header.record_format) {
            return Err(FileError::RecordFormat { path: self.path.clone(), found: header.record_format });
        }
        if header.partitions == 0 || header.partitions > PARTITIONS_MAX {
            return Err(self.damaged("its header can't be read"));
        }
        Ok(header)
    }

    fn frame(&mut self) -> Result<Frame, FileError> {
        let json = self.bytes()?;
        // Its content stays out of the error.
        serde_json::from_slice(&json).map_err(|_| self.damaged("a part of it can't be read"))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, FileError> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(self.damaged("a part of it is larger than any can be"));
        }
        let mut json = vec![0; length];
        self.fill(&mut json)?;
        Ok(json)
    }

    fn expect_end(&mut self) -> Result<(), FileError> {
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged("something stands after its end")),
            Err(source) => Err(FileError::Io { path: self.path.clone(), source }),
        }
    }
}

#[derive(Deserialize)]
struct OnlyVersion {
    header: VersionOf,
}

#[derive(Deserialize)]
struct VersionOf {
    version: u32,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
