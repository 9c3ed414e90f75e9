import Testing

@testable import RegistryClient

@Suite struct OriginTests {
    @Test(arguments: [
        ("https://example.com/v2/", "https://example.com", "example.com"),
        ("HTTPS://Example.COM:443/x?y#z", "https://example.com", "example.com"),
        ("http://example.com:443", "http://example.com:443", "example.com:443"),
        ("http://127.0.0.1:5000/x", "http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("https://[::1]:5000/x", "https://[::1]:5000", "[::1]:5000"),
        ("https://[::1]/x", "https://[::1]", "[::1]"),
    ])
    func whoIsSpokenTo(_ url: String, _ origin: String, _ domain: String) {
        #expect(Origin(url)?.description == origin)
        #expect(Origin(url)?.domain == domain)
    }

    @Test(arguments: [
        "", "/v2/", "example.com", "ftp://example.com", "file:///etc/passwd", "https://", "https:///x",
        "https://user@example.com/",
        "https://user:password@example.com/", "javascript:alert(1)", "https://" + String(repeating: "x", count: 9000),
    ])
    func isNone(_ url: String) {
        #expect(Origin(url) == nil)
    }
}
