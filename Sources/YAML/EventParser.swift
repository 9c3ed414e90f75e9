import CYAML

/// What libyaml found next in the text.
enum Event {
    case streamEnd
    case documentStart
    case documentEnd
    case scalar(YAMLScalar, anchor: String?)
    case sequenceStart(anchor: String?)
    case sequenceEnd
    case mappingStart(anchor: String?)
    case mappingEnd
    case alias(String)
}

/// A text that libyaml cannot read on from.
struct SyntaxError: Error {
    var mark: YAMLMark
    var message: String
}

/// libyaml's parser over a text in memory, as a sequence of events with marks.
struct EventParser: ~Copyable {
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let input: UnsafeMutableBufferPointer<UInt8>

    /// Starts at the beginning of the text; a byte order mark is skipped.
    init(_ text: String) throws(SyntaxError) {
        var bytes = Array(text.utf8)
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { bytes.removeFirst(3) }
        input = .allocate(capacity: bytes.count)
        _ = input.initialize(from: bytes)
        parser = .allocate(capacity: 1)
        guard yaml_parser_initialize(parser) == 1 else {
            input.deallocate()
            parser.deallocate()
            throw SyntaxError(mark: YAMLMark(line: 1, column: 1), message: "no memory to read it")
        }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, input.baseAddress, input.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
        input.deallocate()
    }

    /// The next event and where it begins; the start of the stream is passed over.
    mutating func next() throws(SyntaxError) -> (Event, YAMLMark) {
        while true {
            var raw = yaml_event_t()
            guard yaml_parser_parse(parser, &raw) == 1 else { throw problem() }
            defer { yaml_event_delete(&raw) }
            let mark = YAMLMark(line: raw.start_mark.line + 1, column: raw.start_mark.column + 1)
            switch raw.type {
            case YAML_STREAM_END_EVENT, YAML_NO_EVENT: return (.streamEnd, mark)
            case YAML_DOCUMENT_START_EVENT: return (.documentStart, mark)
            case YAML_DOCUMENT_END_EVENT: return (.documentEnd, mark)
            case YAML_ALIAS_EVENT: return (.alias(Self.text(raw.data.alias.anchor) ?? ""), mark)
            case YAML_SCALAR_EVENT: return (.scalar(Self.scalar(raw), anchor: Self.text(raw.data.scalar.anchor)), mark)
            case YAML_SEQUENCE_START_EVENT:
                return (.sequenceStart(anchor: Self.text(raw.data.sequence_start.anchor)), mark)
            case YAML_SEQUENCE_END_EVENT: return (.sequenceEnd, mark)
            case YAML_MAPPING_START_EVENT:
                return (.mappingStart(anchor: Self.text(raw.data.mapping_start.anchor)), mark)
            case YAML_MAPPING_END_EVENT: return (.mappingEnd, mark)
            default: continue
            }
        }
    }

    private static func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        pointer.map { String(cString: $0) }
    }

    private static func scalar(_ raw: yaml_event_t) -> YAMLScalar {
        let data = raw.data.scalar
        let text = String(decoding: UnsafeBufferPointer(start: data.value, count: data.length), as: UTF8.self)
        if let tag = Self.text(data.tag), tag == "!" || tag == "tag:yaml.org,2002:str" {
            return YAMLScalar(text, style: .quoted)
        }
        switch data.style {
        case YAML_SINGLE_QUOTED_SCALAR_STYLE, YAML_DOUBLE_QUOTED_SCALAR_STYLE: return YAMLScalar(text, style: .quoted)
        case YAML_LITERAL_SCALAR_STYLE, YAML_FOLDED_SCALAR_STYLE: return YAMLScalar(text, style: .block)
        default: return YAMLScalar(text, style: .plain)
        }
    }

    /// The place after the last character.
    private var end: YAMLMark {
        let text = String(decoding: input, as: UTF8.self)
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        return YAMLMark(line: lines.count, column: (lines.last?.unicodeScalars.count ?? 0) + 1)
    }

    private func problem() -> SyntaxError {
        let state = parser.pointee
        let what = state.problem.map { String(cString: $0) } ?? "not YAML"
        guard state.error != YAML_READER_ERROR else {
            // The reader stops before it knows a line: count up to the byte that it refused.
            let before = input.prefix(Int(state.problem_offset))
            let line = before.count { $0 == 0x0a } + 1
            let lineStart = before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
            let column = before[lineStart...].count { $0 & 0xc0 != 0x80 } + 1
            return SyntaxError(mark: YAMLMark(line: line, column: column), message: "not YAML: \(what)")
        }
        // At the end libyaml has begun a line that is not in the text.
        let mark = min(YAMLMark(line: state.problem_mark.line + 1, column: state.problem_mark.column + 1), end)
        guard let context = state.context.map({ String(cString: $0) }) else {
            return SyntaxError(mark: mark, message: "not YAML: \(what)")
        }
        return SyntaxError(mark: mark, message: "not YAML: \(what) (\(context), line \(state.context_mark.line + 1))")
    }
}
