import Report
import Testing

@testable import SealerCommands

@Suite("The registry's place")
struct RegistryCommandTests {
    @Test(
        "is read, brackets around IPv6 taken off",
        arguments: [
            ("127.0.0.1:5000", "127.0.0.1", 5000), ("[::]:5000", "::", 5000), ("[fd00::1]:0", "fd00::1", 0),
            ("localhost:65535", "localhost", 65535),
        ])
    func read(text: String, host: String, port: Int) throws {
        let place = try RegistryServeCommand.place(text)
        #expect(place.host == host && place.port == port)
    }

    @Test("that is none is refused", arguments: ["", "nowhere", "[::1]", "a:", "a:65536", "a:-1", "[::1]:x"])
    func refused(text: String) {
        #expect(throws: Failure.self) { try RegistryServeCommand.place(text) }
    }
}
