use std::path::Path;

use video_rs::ffmpeg::{
    self, Dictionary, Packet, Rational, codec, color, encoder, format, frame, software::scaling,
};

use crate::{Error, Result};

/// What an MP4 is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSettings {
    /// Pixels, even.
    pub width: usize,
    /// Pixels, even.
    pub height: usize,
    /// Frames per second, 1 to 240.
    pub fps: u32,
    /// x264's constant rate factor, 0 (lossless) to 51. Default 18: hard to tell from the frames.
    pub crf: u32,
    /// The file's `comment`: generation parameters.
    pub comment: Option<String>,
}

/// Writes frames into an MP4 as they come: H.264, yuv420p, index before the data (faststart). The file is whole
/// after [`VideoEncoder::finish`] only.
pub struct VideoEncoder {
    output: format::context::Output,
    encoder: encoder::Video,
    scaler: scaling::Context,
    width: u32,
    height: u32,
    time_base: Rational,
    frames: i64,
}

impl VideoSettings {
    /// Quality 18, no comment.
    pub fn new(width: usize, height: usize, fps: u32) -> Self {
        Self { width, height, fps, crf: 18, comment: None }
    }

    fn check(&self) -> Result<(u32, u32, i32)> {
        let invalid = |input, rule: &str, value: usize| {
            Err(Error::Input { input, rule: rule.to_owned(), value: value.to_string() })
        };
        const SIDE: &str = "even, from 2 to 16384: yuv420p shares colours between 2 x 2 pixels";
        for (input, side) in [("width", self.width), ("height", self.height)] {
            if !(2..=16384).contains(&side) || !side.is_multiple_of(2) {
                return invalid(input, SIDE, side);
            }
        }
        if !(1..=240).contains(&self.fps) {
            return invalid("fps", "from 1 to 240", self.fps as usize);
        }
        if self.crf > 51 {
            return invalid("crf", "from 0 to 51", self.crf as usize);
        }
        Ok((self.width as u32, self.height as u32, self.fps as i32))
    }
}

impl VideoEncoder {
    /// Creates or replaces the file at `path`.
    ///
    /// # Errors
    /// [`Error::Input`] for settings outside their rules; [`Error::Encode`] if FFmpeg has no H.264 encoder or the
    /// file cannot be written.
    pub fn create(path: &Path, settings: &VideoSettings) -> Result<Self> {
        let (width, height, fps) = settings.check()?;
        ffmpeg::init().map_err(failed("start FFmpeg"))?;
        // What x264 tells of every file is of no use here; errors come back as values.
        ffmpeg::log::set_level(ffmpeg::log::Level::Error);
        let mut output = format::output_as(path, "mp4").map_err(failed("create the file"))?;
        let time_base = Rational(1, fps);
        let (encoder, codec) =
            open(settings, width, height, fps).map_err(failed("open the H.264 encoder"))?;
        let mut stream = output.add_stream(codec).map_err(failed("add a stream"))?;
        stream.set_parameters(&encoder);
        stream.set_time_base(time_base);
        stream.set_avg_frame_rate(Rational(fps, 1));
        if let Some(comment) = &settings.comment {
            let mut metadata = Dictionary::new();
            metadata.set("comment", &comment.replace('\0', " "));
            output.set_metadata(metadata);
        }
        let mut options = Dictionary::new();
        options.set("movflags", "+faststart");
        output.write_header_with(options).map(drop).map_err(failed("write the header"))?;
        let (from, to) = (format::Pixel::RGB24, format::Pixel::YUV420P);
        let exact = scaling::Flags::BICUBIC | scaling::Flags::ACCURATE_RND | scaling::Flags::FULL_CHR_H_INP;
        let scaler = scaling::Context::get(from, width, height, to, width, height, exact);
        let scaler = scaler.map_err(failed("convert colours"))?;
        Ok(Self { output, encoder, scaler, width, height, time_base, frames: 0 })
    }

    /// Adds one frame: `3 * width * height` bytes, 8-bit RGB, row by row from the top.
    ///
    /// # Errors
    /// [`Error::Input`] for another number of bytes; [`Error::Encode`].
    pub fn push(&mut self, rgb: &[u8]) -> Result<()> {
        let row = 3 * self.width as usize;
        if rgb.len() != row * self.height as usize {
            let rule = format!("3 x {} x {} bytes", self.width, self.height);
            return Err(Error::Input { input: "frame", rule, value: rgb.len().to_string() });
        }
        let mut picture = frame::Video::new(format::Pixel::RGB24, self.width, self.height);
        let stride = picture.stride(0);
        for (to, from) in picture.data_mut(0).chunks_mut(stride).zip(rgb.chunks_exact(row)) {
            to[..row].copy_from_slice(from);
        }
        let mut converted = frame::Video::empty();
        self.scaler.run(&picture, &mut converted).map_err(failed("convert colours"))?;
        converted.set_pts(Some(self.frames));
        self.frames += 1;
        self.encoder.send_frame(&converted).map_err(failed("encode a frame"))?;
        self.write_packets()
    }

    /// Encodes what is left, and writes the index.
    ///
    /// # Errors
    /// [`Error::Encode`]; also when no frame was added.
    pub fn finish(mut self) -> Result<()> {
        if self.frames == 0 {
            return Err(Error::Encode { action: "finish a video without frames", source: None });
        }
        self.encoder.send_eof().map_err(failed("end the stream"))?;
        self.write_packets()?;
        self.output.write_trailer().map_err(failed("write the index"))
    }

    fn write_packets(&mut self) -> Result<()> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                // More frames are wanted first, or everything is out.
                Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => return Ok(()),
                Err(ffmpeg::Error::Eof) => return Ok(()),
                Err(error) => return Err(failed("encode a frame")(error)),
            }
            packet.set_stream(0);
            packet.set_duration(1);
            let time_base = self.output.stream(0).map_or(self.time_base, |stream| stream.time_base());
            packet.rescale_ts(self.time_base, time_base);
            packet.write_interleaved(&mut self.output).map_err(failed("write a packet"))?;
        }
    }
}

impl std::fmt::Debug for VideoEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VideoEncoder({}x{}, {} frames)", self.width, self.height, self.frames)
    }
}

fn open(
    settings: &VideoSettings,
    width: u32,
    height: u32,
    fps: i32,
) -> std::result::Result<(encoder::Video, ffmpeg::Codec), ffmpeg::Error> {
    let codec = encoder::find_by_name("libx264").or_else(|| encoder::find(codec::Id::H264));
    let codec = codec.ok_or(ffmpeg::Error::EncoderNotFound)?;
    let mut video = codec::context::Context::new_with_codec(codec).encoder().video()?;
    video.set_width(width);
    video.set_height(height);
    video.set_format(format::Pixel::YUV420P);
    video.set_time_base(Rational(1, fps));
    video.set_frame_rate(Some(Rational(fps, 1)));
    // A key frame every two seconds: players jump there.
    video.set_gop(2 * fps as u32);
    // The matrix is that of FFmpeg's own conversion; without the mark, players guess it from the size.
    video.set_colorspace(color::Space::SMPTE170M);
    video.set_color_range(color::Range::MPEG);
    video.set_color_primaries(color::Primaries::BT709);
    video.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
    video.set_flags(codec::Flags::GLOBAL_HEADER);
    let mut options = Dictionary::new();
    options.set("preset", "medium");
    options.set("crf", &settings.crf.to_string());
    Ok((video.open_with(options)?, codec))
}

fn failed(action: &'static str) -> impl Fn(ffmpeg::Error) -> Error {
    move |source| Error::Encode { action, source: Some(Box::new(source)) }
}
