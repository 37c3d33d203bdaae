//! Batches: what the driver writes the service reads, and nothing malformed gets through.

use wire::batch::{self, BatchError, BatchHead, BatchWriter, MIN_BATCH_BYTES, RequestView};
use wire::request::{MAX_PATH_BYTES, MAX_REQUEST_BYTES, MAX_SID_BYTES, Request};
use wire::verdict::RequestId;

const HEAD: usize = size_of::<BatchHead>();
const REQUEST: usize = size_of::<Request>();

fn request(id: u64) -> Request {
    Request { id: RequestId(id), process_id: 42, ..Request::default() }
}

fn write(requests: &[(u64, &[u8], &[u8])]) -> Vec<u8> {
    let mut buffer = vec![0xee; 16 * MIN_BATCH_BYTES];
    let mut batch = BatchWriter::new(&mut buffer).expect("large enough");
    for (id, path, sid) in requests {
        assert!(batch.push(request(*id), path, sid));
    }
    assert_eq!(batch.count() as usize, requests.len());
    let used = batch.finish(3);
    buffer.truncate(used);
    buffer
}

/// Reads all requests there are; the last may be an error.
fn read(bytes: &[u8]) -> Result<Vec<Result<RequestView<'_>, BatchError>>, BatchError> {
    Ok(batch::requests(bytes)?.1.collect())
}

#[test]
fn what_is_written_is_read() {
    let bytes = write(&[(1, b"a\0b\0", &[1, 2, 3]), (2, b"", b""), (3, &[7; MAX_PATH_BYTES], &[8; MAX_SID_BYTES])]);
    let (head, requests) = batch::requests(&bytes).expect("a batch");
    assert_eq!(head, BatchHead { count: 3, dropped_reports: 3 });
    let views: Vec<_> = requests.map(|view| view.expect("well formed")).collect();
    assert_eq!(views.iter().map(|view| view.request.id.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((views[0].path, views[0].sid), (b"a\0b\0".as_slice(), [1, 2, 3].as_slice()));
    assert_eq!((views[1].path, views[1].sid), (b"".as_slice(), b"".as_slice()));
    assert_eq!((views[2].path, views[2].sid), ([7; MAX_PATH_BYTES].as_slice(), [8; MAX_SID_BYTES].as_slice()));
}

#[test]
fn an_empty_batch_is_a_head() {
    let bytes = write(&[]);
    assert_eq!(bytes.len(), HEAD);
    assert_eq!(read(&bytes), Ok(vec![]));
}

/// Bytes that were in the buffer before must not reach user mode.
#[test]
fn padding_is_zeroed() {
    let bytes = write(&[(1, b"a\0", &[1])]);
    assert_eq!(bytes.len(), HEAD + (REQUEST + 3).next_multiple_of(8));
    assert!(bytes[HEAD + REQUEST + 3..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_buffer_without_room_for_any_request_is_refused() {
    assert!(BatchWriter::new(&mut vec![0; MIN_BATCH_BYTES - 1]).is_none());
    assert!(BatchWriter::new(&mut vec![0; MIN_BATCH_BYTES]).is_some_and(|batch| batch.has_room()));
}

#[test]
fn a_request_that_does_not_fit_leaves_the_batch_as_it_was() {
    let mut buffer = vec![0; MIN_BATCH_BYTES + REQUEST];
    let mut batch = BatchWriter::new(&mut buffer).expect("large enough");
    let (path, sid) = ([1; MAX_PATH_BYTES], [2; MAX_SID_BYTES]);
    assert!(batch.push(request(1), &path, &sid));
    assert!(!batch.has_room());
    assert!(!batch.push(request(2), &path, &sid));
    assert!(batch.push(request(3), &[], &[]), "a small one still fits");
    let used = batch.finish(0);
    assert!(used <= buffer.len());
    let ids: Vec<_> =
        read(&buffer[..used]).expect("a batch").into_iter().map(|view| view.map(|v| v.request.id.0)).collect();
    assert_eq!(ids, [Ok(1), Ok(3)]);
}

#[test]
fn what_has_room_always_fits() {
    let mut buffer = vec![0; HEAD + 3 * MAX_REQUEST_BYTES];
    let mut batch = BatchWriter::new(&mut buffer).expect("large enough");
    while batch.has_room() {
        assert!(batch.push(request(1), &[1; MAX_PATH_BYTES], &[2; MAX_SID_BYTES]));
    }
    assert_eq!(batch.count(), 3);
}

#[test]
fn every_cut_is_noticed() {
    let bytes = write(&[(1, b"a\0b\0", &[1, 2, 3]), (2, b"c\0", &[4])]);
    for len in 0..bytes.len() {
        let cut = read(&bytes[..len]);
        let noticed = match &cut {
            Err(error) => *error == BatchError::Truncated && len < HEAD,
            Ok(views) => views.last() == Some(&Err(BatchError::Truncated)),
        };
        assert!(noticed, "{len}: {cut:?}");
    }
}

#[test]
fn lengths_that_contradict_each_other_are_noticed_and_end_the_batch() {
    let bytes = write(&[(1, b"a\0b\0", &[1, 2, 3]), (2, b"c\0", &[4])]);
    let size_at = HEAD + std::mem::offset_of!(Request, size);
    let path_at = HEAD + std::mem::offset_of!(Request, path_bytes);
    let sid_at = HEAD + std::mem::offset_of!(Request, sid_bytes);
    let size = (REQUEST + 7).next_multiple_of(8) as u32;
    for (at, value) in [
        (size_at, 0),
        (size_at, REQUEST as u32),
        (size_at, size + 1),
        (size_at, size - 4),
        (path_at, size),
        (path_at, u32::MAX),
        (sid_at, 5),
        (sid_at, u32::MAX),
    ] {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        assert_eq!(read(&bytes), Ok(vec![Err(BatchError::BadLength)]), "{at} {value}");
    }
    let mut bytes = bytes.clone();
    bytes[size_at..size_at + 4].copy_from_slice(&0xffff_fff8_u32.to_le_bytes());
    assert_eq!(read(&bytes), Ok(vec![Err(BatchError::Truncated)]));
}

#[test]
fn a_count_beyond_the_bytes_ends_in_an_error() {
    let mut bytes = write(&[(1, b"", b"")]);
    bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let views = read(&bytes).expect("a head");
    assert_eq!((views.len(), views[0].is_ok(), views[1]), (2, true, Err(BatchError::Truncated)));
}

#[test]
fn bytes_need_no_alignment() {
    let bytes = write(&[(1, b"a\0", &[1])]);
    let shifted = [&[0xff], bytes.as_slice()].concat();
    assert_eq!(read(&shifted[1..]), read(&bytes));
}
