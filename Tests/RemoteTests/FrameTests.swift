import FoundationEssentials
import Report
import TestSupport
import Testing

@testable import Remote

@Suite struct FrameTests {
    private static func frames(_ random: inout SeededGenerator) -> [Frame] {
        (0..<Int.random(in: 1..<20, using: &random)).map { _ in
            let kind = Frame.Kind.allCases.randomElement(using: &random) ?? .data
            let size = Int.random(in: 0..<400, using: &random)
            let payload = Data((0..<size).map { _ in UInt8.random(in: 0...255, using: &random) })
            return Frame(kind, stream: UInt32.random(in: 0...UInt32.max, using: &random), payload: payload)
        }
    }

    private static func decode(_ wire: Data, _ random: inout SeededGenerator) throws -> (frames: [Frame], whole: Bool) {
        var decoder = FrameDecoder()
        var found: [Frame] = []
        var rest = wire[...]
        while !rest.isEmpty {
            let count = Int.random(in: 1...min(rest.count, 150), using: &random)
            decoder.append(Data(rest.prefix(count)))
            rest = rest.dropFirst(count)
            while let frame = try decoder.next() { found.append(frame) }
        }
        return (found, decoder.isAtBoundary)
    }

    @Test(arguments: 0..<60) func comeBackWhereverTheyAreCut(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let frames = Self.frames(&random)
        let wire = try frames.reduce(into: Data()) { $0.append(try $1.encoded()) }
        let result = try Self.decode(wire, &random)
        #expect(result.frames == frames)
        #expect(result.whole)
    }

    @Test(arguments: 0..<200) func damageIsAnErrorAndNoCrash(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var wire = try Self.frames(&random).reduce(into: Data()) { $0.append(try $1.encoded()) }
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: 0..<wire.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: wire[place] = UInt8.random(in: 0...255, using: &random)
            case 1: wire.remove(at: place)
            default: wire.insert(UInt8.random(in: 0...255, using: &random), at: place)
            }
            guard !wire.isEmpty else { return }
        }
        do {
            let result = try Self.decode(wire, &random)
            #expect(result.frames.allSatisfy { $0.payload.count <= Frame.payloadLimit })
        } catch let failure as Failure {
            #expect(failure.kind == .integrity)
        }
    }

    @Test func refusesAFrameThatIsTooLongBeforeItCame() throws {
        var decoder = FrameDecoder()
        decoder.append(Data([0x00, 0x10, 0x00, 0x01, 2, 0, 0, 0, 1]))
        let failure = #expect(throws: Failure.self) { try decoder.next() }
        #expect(failure?.kind == .integrity)
    }

    @Test(arguments: [0, 7, 255]) func refusesUnknownKinds(_ kind: UInt8) throws {
        var decoder = FrameDecoder()
        decoder.append(Data([0, 0, 0, 0, kind, 0, 0, 0, 1]))
        let failure = #expect(throws: Failure.self) { try decoder.next() }
        #expect(failure?.kind == .integrity)
    }

    @Test func takesTheLargestFrameAndSendsNoLarger() throws {
        let frame = Frame(.data, stream: 1, payload: Data(count: Frame.payloadLimit))
        var decoder = FrameDecoder()
        decoder.append(try frame.encoded())
        #expect(try decoder.next() == frame)
        #expect(throws: Failure.self) {
            try Frame(.data, stream: 1, payload: Data(count: Frame.payloadLimit + 1)).encoded()
        }
    }

    @Test func hasTheDocumentedLayout() throws {
        let frame = Frame(.message, stream: 0x0102_0304, payload: Data("{}".utf8))
        #expect(try Array(frame.encoded()) == [0, 0, 0, 2, 1, 1, 2, 3, 4, 0x7b, 0x7d])
    }
}
