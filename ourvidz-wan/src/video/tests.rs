#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn decoded_numbers_become_bytes_frame_by_frame() {
    let mut video = Video::new(2, 1, 16, 7);
    // [3, 2, 1, 2]: red 0 and 1 in frame 0, -1 and 2 in frame 1; green all -1; blue all 1.
    video.push_decoded(&[0.0, 1.0, -1.0, 2.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
    assert_eq!(video.num_frames(), 2);
    assert_eq!(video.frame_rgb(0), Some(&[128, 0, 255, 255, 0, 255][..]));
    assert_eq!(video.frame_rgb(1), Some(&[0, 0, 255, 255, 0, 255][..]));
    assert_eq!(video.frame(1).unwrap().dimensions(), (2, 1));
    assert_eq!(video.frame_rgb(2), None);
    assert!(video.push_decoded(&[0.0; 5]).is_err());
    assert_eq!(video.num_frames(), 2);
}

#[cfg(feature = "video")]
mod files {
    use super::*;

    /// A square that moves right over a gradient: colours and motion survive the encoder.
    fn moving_square(frames: usize, width: usize, height: usize) -> Video {
        let mut video = Video::new(width, height, 16, 0);
        for frame in 0..frames {
            let mut x = vec![0.0; 3 * width * height];
            for row in 0..height {
                for column in 0..width {
                    let inside = (frame * 2..frame * 2 + 12).contains(&column) && (8..20).contains(&row);
                    let pixel = row * width + column;
                    x[pixel] = if inside { 0.8 } else { column as f32 / width as f32 - 0.5 };
                    x[width * height + pixel] = if inside { -0.6 } else { 0.0 };
                    x[2 * width * height + pixel] = if inside { -0.6 } else { 0.4 };
                }
            }
            video.push_decoded(&x).unwrap();
        }
        video
    }

    fn read(path: &std::path::Path) -> (Vec<Vec<u8>>, f32) {
        let mut decoder = video_rs::Decoder::new(path).unwrap();
        let fps = decoder.frame_rate();
        let frames =
            decoder.decode_iter().map_while(Result::ok).map(|(_, frame)| frame.into_raw_vec_and_offset().0);
        (frames.collect(), fps)
    }

    #[test]
    fn a_file_holds_every_frame_at_the_asked_rate() {
        let folder = tempfile::tempdir().unwrap();
        for (count, fps) in [(1, 16), (5, 8), (33, 24)] {
            let path = folder.path().join(format!("{count}.mp4"));
            let video = Video { fps, ..moving_square(count, 96, 64) };
            video.save(&path).unwrap();
            let (frames, rate) = read(&path);
            assert_eq!((frames.len(), rate.round() as u32), (count, fps));
            for (index, frame) in frames.iter().enumerate() {
                let original = video.frame_rgb(index).unwrap();
                let difference: u64 =
                    frame.iter().zip(original).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
                let mean = difference as f64 / original.len() as f64;
                assert!(mean < 4.0, "frame {index} of {count}: mean difference {mean}");
            }
        }
    }

    #[test]
    fn the_index_comes_first_and_the_comment_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        let settings =
            VideoSettings { comment: Some("a fox\nSteps: 4".into()), ..VideoSettings::new(64, 48, 16) };
        let mut encoder = VideoEncoder::create(&path, &settings).unwrap();
        for _ in 0..5 {
            encoder.push(&[90; 64 * 48 * 3]).unwrap();
        }
        encoder.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let find = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
        assert!(find(b"moov").unwrap() < find(b"mdat").unwrap());
        assert!(find(b"a fox\nSteps: 4").is_some());
    }

    #[test]
    fn what_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        for settings in [
            VideoSettings::new(63, 48, 16),
            VideoSettings::new(64, 0, 16),
            VideoSettings::new(64, 48, 0),
            VideoSettings { crf: 52, ..VideoSettings::new(64, 48, 16) },
        ] {
            assert!(
                matches!(VideoEncoder::create(&path, &settings), Err(Error::Input { .. })),
                "{settings:?}"
            );
        }
        let mut encoder = VideoEncoder::create(&path, &VideoSettings::new(64, 48, 16)).unwrap();
        assert!(matches!(encoder.push(&[0; 3]), Err(Error::Input { .. })));
        assert!(matches!(encoder.finish(), Err(Error::Encode { .. })));
        let nowhere = folder.path().join("none/a.mp4");
        let error = VideoEncoder::create(&nowhere, &VideoSettings::new(64, 48, 16)).unwrap_err();
        assert!(matches!(error, Error::Encode { action: "create the file", .. }), "{error:?}");
    }
}
