import FoundationEssentials
import TestSupport
import Testing

@testable import Remote

@Suite struct CommandOutputTests {
    @Test(arguments: 0..<50) func findsLinesWhereverTheBytesAreCut(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let expected = (0..<30).map { _ in
            String(repeating: "ä", count: Int.random(in: 0..<50, using: &random)) + "x"
        }
        var rest = Data((expected.joined(separator: "\n")).utf8)[...]
        var collected = CommandOutput()
        var lines: [OutputLine] = []
        let whole = Data(rest)
        while !rest.isEmpty {
            let count = Int.random(in: 1...min(rest.count, 30), using: &random)
            lines += collected.take(Data(rest.prefix(count)), .output)
            rest = rest.dropFirst(count)
        }
        lines += collected.finish()
        #expect(lines == expected.map { OutputLine(stream: .output, text: $0) })
        #expect(collected.output == whole)
        #expect(collected.finish().isEmpty)
    }

    @Test func keepsTheStreamsApart() {
        var collected = CommandOutput()
        #expect(collected.take(Data("a".utf8), .output).isEmpty)
        #expect(collected.take(Data("b\r\n".utf8), .error) == [OutputLine(stream: .error, text: "b")])
        #expect(collected.take(Data("c\n".utf8), .output) == [OutputLine(stream: .output, text: "ac")])
        #expect(collected.error == Data("b\r\n".utf8))
    }

    @Test func keepsTheFirstOfOutputAndTheLastOfError() {
        var collected = CommandOutput()
        let chunk = Data(repeating: 1, count: 1 << 20) + Data([10])
        for _ in 0..<6 { _ = collected.take(chunk, .output) }
        for number in 0..<6 { _ = collected.take(Data(repeating: UInt8(number), count: 50_000), .error) }
        #expect(collected.output.count == CommandOutput.outputLimit)
        #expect(collected.error.count == CommandOutput.errorLimit)
        #expect(collected.error.last == 5)
    }

    @Test func cutsLinesThatAreTooLong() {
        var collected = CommandOutput()
        let lines =
            collected.take(Data(repeating: 65, count: 3 * AgentProtocol.lineLimit + 5), .output) + collected.finish()
        #expect(
            lines.map(\.text.count) == [AgentProtocol.lineLimit, AgentProtocol.lineLimit, AgentProtocol.lineLimit, 5])
    }

    @Test func keepsTheEndOfALongText() {
        var tail = TextTail()
        for number in 0..<5000 { tail.append(Data("line \(number)\n".utf8)) }
        #expect(tail.text.hasSuffix("line 4999"))
        #expect(tail.text.utf8.count <= TextTail.limit)
    }
}
