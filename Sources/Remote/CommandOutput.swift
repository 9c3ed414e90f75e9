import FoundationEssentials

/// Cuts what a command prints into lines and keeps what `CommandResult` promises of it.
struct CommandOutput {
    /// The most bytes of standard output that are kept: the first ones.
    static let outputLimit = 4 << 20
    /// The most bytes of standard error that are kept: the last ones.
    static let errorLimit = 64 << 10

    private(set) var output = Data()
    private var errorTail = Data()
    private var outputLine = Data()
    private var errorLine = Data()

    /// Takes bytes of a stream; gives the lines that are complete now.
    mutating func take(_ bytes: Data, _ stream: OutputLine.Stream) -> [OutputLine] {
        switch stream {
        case .output:
            output.append(bytes.prefix(Self.outputLimit - output.count))
            return Self.lines(of: bytes, stream, &outputLine)
        case .error:
            errorTail.append(bytes)
            if errorTail.count > 2 * Self.errorLimit { errorTail = Data(errorTail.suffix(Self.errorLimit)) }
            return Self.lines(of: bytes, stream, &errorLine)
        }
    }

    /// What stands after the last line end of each stream.
    mutating func finish() -> [OutputLine] {
        defer {
            outputLine = Data()
            errorLine = Data()
        }
        return [(outputLine, OutputLine.Stream.output), (errorLine, .error)].filter { !$0.0.isEmpty }
            .map { Self.line($0.0, $0.1) }
    }

    /// The end of standard error.
    var error: Data { Data(errorTail.suffix(Self.errorLimit)) }

    private static func lines(of bytes: Data, _ stream: OutputLine.Stream, _ begun: inout Data) -> [OutputLine] {
        var result: [OutputLine] = []
        var rest = bytes[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            begun.append(rest[..<end])
            result += cut(&begun, stream)
            result.append(line(begun, stream))
            begun.removeAll(keepingCapacity: true)
            rest = rest[rest.index(after: end)...]
        }
        begun.append(rest)
        return result + cut(&begun, stream)
    }

    /// Takes the front of a line that is too long off.
    private static func cut(_ begun: inout Data, _ stream: OutputLine.Stream) -> [OutputLine] {
        var result: [OutputLine] = []
        while begun.count > AgentProtocol.lineLimit {
            result.append(line(Data(begun.prefix(AgentProtocol.lineLimit)), stream))
            begun = Data(begun.dropFirst(AgentProtocol.lineLimit))
        }
        return result
    }

    private static func line(_ bytes: Data, _ stream: OutputLine.Stream) -> OutputLine {
        let text = bytes.last == UInt8(ascii: "\r") ? bytes.dropLast() : bytes
        return OutputLine(stream: stream, text: String(decoding: text, as: UTF8.self))
    }
}
