import Testing

@testable import Report

@Suite("Failpoints")
struct FailpointTests {
    @Test("are read from the variable's text; what is none is passed over")
    func parse() {
        let text = "end init=kill,begin join/10.0.0.4=fail,plan a=b=stall,x=burn,=,y,mark h=kill"
        #expect(
            Failpoint.parse(text) == [
                "end init": .kill, "begin join/10.0.0.4": .fail, "plan a=b": .stall, "mark h": .kill,
            ])
        #expect(Failpoint.parse("") == [:])
    }

    @Test("are off when nobody asks for one")
    func off() async throws {
        try await Failpoint.reach("end init")
    }
}
