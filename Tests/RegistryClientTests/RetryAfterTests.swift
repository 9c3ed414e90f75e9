import FoundationEssentials
import NIOHTTP1
import OCI
import Report
import Synchronization
import Testing

@testable import RegistryClient

@Suite struct RetryAfterTests {
    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199), ("Tue, 24 Nov 2026 12:00:00 GMT", 1_795_521_600),
    ])
    func datesAreRead(_ text: String, _ seconds: Double) {
        #expect(HTTPDate.parse(text) == Date(timeIntervalSince1970: seconds))
    }

    @Test(arguments: [
        "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "x",
    ])
    func othersAreNone(_ text: String) {
        #expect(HTTPDate.parse(text) == nil)
    }

    @Test func theWaitIsBounded() {
        let now = Date(timeIntervalSince1970: 784_111_777)
        #expect(retryAfter("120", now: now) == .seconds(120))
        #expect(retryAfter(" Sun, 06 Nov 1994 08:50:07 GMT", now: now) == .seconds(30))
        #expect(retryAfter("Sun, 06 Nov 1994 08:00:00 GMT", now: now) == .zero)
        #expect(retryAfter("Sun, 06 Nov 2094 08:00:00 GMT", now: now) == .seconds(3600))
        #expect(retryAfter("-5", now: now) == .zero)
        #expect(retryAfter("soon", now: now) == nil)
        #expect(retryAfter(nil, now: now) == nil)
        let limits = RegistryLimits()
        #expect(limits.delay(after: 1, wish: .seconds(3600)) == limits.longestBackoff)
        for attempt in 1...100 { #expect(limits.delay(after: attempt, wish: nil) <= limits.longestBackoff) }
    }

    @Test func theDateOfARefusalCounts() {
        let headers: HTTPHeaders = ["Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"]
        let error = AttemptError.status(
            .tooManyRequests, headers: headers, body: "", at: "https://r.test", for: .get("x"))
        #expect(error.retry == .later(.seconds(3600)))
    }

    @Test(arguments: ["0", "Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 01 Jan 2100 00:00:00 GMT", "garbage"])
    func tooManyRequestsAreAskedAgain(_ value: String) async throws {
        let image = try SmallImage(layers: ["one"])
        let count = Mutex(0)
        let registry = try await FakeRegistry.start { request in
            let isFirst = count.withLock { count in
                count += 1
                return count == 1
            }
            return isFirst ? .json(429, "{}", ["Retry-After": value]) : image.answer(request.path) ?? unknown
        }
        let client = RegistryClient(configuration: quickConfiguration())
        _ = try await client.resolve(Reference("\(registry.host)/a/b:v1"))
        #expect(registry.requests.count == 2)
        await client.close()
        try await registry.stop()
    }
}
