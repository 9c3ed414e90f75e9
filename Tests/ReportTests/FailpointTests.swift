import FoundationEssentials
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Report

@Suite("Failpoints")
struct FailpointTests {
    @Test("hold who comes to them until somebody takes a file away")
    func hold() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("begin join%2Fa")
        let hasEnded = Mutex(false)
        async let holding: Void = {
            try await Failpoint.hold("begin join/a", in: scratch.path.string)
            hasEnded.withLock { $0 = true }
        }()
        for _ in 0..<6000 where !FileManager.default.fileExists(atPath: file.string) {
            try await Task.sleep(for: .milliseconds(5))
        }
        try await Task.sleep(for: .milliseconds(100))
        #expect(!hasEnded.withLock { $0 })
        try FileManager.default.removeItem(atPath: file.string)
        try await holding
    }

    @Test("are read from the variable's text; what is none is passed over")
    func parse() {
        let text =
            "end init=kill,begin join/10.0.0.4=fail:/run/a:b,plan a=b=stall,clock=shift:-3600,x=burn,=,y,a=shift:b,c=shift"
        #expect(
            Failpoint.parse(text) == [
                "end init": .init(action: .kill), "begin join/10.0.0.4": .init(action: .fail, argument: "/run/a:b"),
                "plan a=b": .init(action: .stall), "clock": .init(action: .shift, argument: "-3600"),
            ])
        #expect(Failpoint.parse("") == [:])
    }

    @Test("note in a file that they were reached, and fail where they cannot")
    func note() throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("reached")
        try Failpoint.note("take run", in: file.string)
        try Failpoint.note("answer run", in: file.string)
        #expect(try Data(contentsOf: URL(filePath: file.string)) == Data("take run\nanswer run\n".utf8))
        #expect(throws: Failure.self) { try Failpoint.note("take run", in: scratch.path.string) }
    }

    @Test("are off when nobody asks for one")
    func off() async throws {
        try await Failpoint.reach("end init")
        #expect(Failpoint.shift("clock") == 0)
    }
}
