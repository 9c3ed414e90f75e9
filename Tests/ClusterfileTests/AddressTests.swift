import Clusterfile
import Glibc
import Report
import TestSupport
import Testing

@Suite("addresses")
struct AddressTests {
    @Test(
        "reading and the canonical text",
        arguments: [
            ("0.0.0.0", "0.0.0.0"), ("192.168.0.2", "192.168.0.2"), ("255.255.255.255", "255.255.255.255"),
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("fd00::2", "fd00::2"),
            ("2001:DB8:0:0:0:0:2:1", "2001:db8::2:1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("0001:0002:0003:0004:0005:0006:0007:0008", "1:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("::FFFF:c000:201", "::ffff:192.0.2.1"),
            ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ]
    )
    func canonical(text: String, expected: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == expected)
        #expect(IPAddress(expected) == address)
        #expect(address.urlHost == (address.family == .v4 ? expected : "[\(expected)]"))
    }

    @Test(
        "what is no address",
        arguments: [
            "", ".", ":", ":::", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.+4", " 1.2.3.4",
            "1.2.3.4 ", "1.2.3.-4", "1.2.3.٤", "a.b.c.d", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "::1::",
            "1:2:3:4:5:6:7:8::", "12345::", "g::", ":1", "1:", ":1::", "1::2:", "[::1]", "fe80::1%eth0", "::1.2.3",
            "1.2.3.4::", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "::ffff:01.2.3.4", "fd00::2/64", "-1", "::+1",
        ]
    )
    func noAddress(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test("numbers, bytes and steps")
    func numbers() throws {
        let four = IPAddress(v4: 0xc0a8_0002)
        #expect(four.description == "192.168.0.2")
        #expect(four.bytes == [192, 168, 0, 2])
        #expect(four.number == 0xc0a8_0002)
        #expect(four.advanced(by: 5)?.description == "192.168.0.7")
        #expect(four.advanced(by: -3)?.description == "192.167.255.255")
        #expect(four.advanced(by: .min) == nil)
        #expect(IPAddress("255.255.255.255")?.advanced(by: 1) == nil)
        #expect(IPAddress("0.0.0.0")?.advanced(by: -1) == nil)
        let six = try #require(IPAddress("fd00::2"))
        #expect(six.bytes == [0xfd] + [UInt8](repeating: 0, count: 14) + [2])
        #expect(six.advanced(by: 0x1_0000)?.description == "fd00::1:2")
        #expect(IPAddress(v6: .max).advanced(by: 1) == nil)
        #expect(four < six)
        #expect(try #require(IPAddress("192.168.0.10")) > four)
    }

    @Test("every number's text is read back, and is the one that RFC 5952 asks for")
    func roundTrip() throws {
        var random = SeededGenerator(seed: 21)
        for _ in 0..<5000 {
            let four = IPAddress(v4: UInt32.random(in: 0...UInt32.max, using: &random))
            #expect(IPAddress(four.description) == four)
            // Many zeros, so that the shortening has something to do.
            let number = (0..<8).reduce(UInt128(0)) { number, _ in
                number << 16 | (Bool.random(using: &random) ? 0 : UInt128.random(in: 0...0xffff, using: &random))
            }
            let six = IPAddress(v6: number)
            let text = six.description
            #expect(IPAddress(text) == six)
            // The C library agrees, but for its own form of what has nothing before the last 32 bits.
            guard number >> 32 != 0 else { continue }
            var bytes = six.bytes
            var buffer = [CChar](repeating: 0, count: 64)
            #expect(inet_ntop(AF_INET6, &bytes, &buffer, 64) != nil)
            #expect(text == String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
    }

    @Test("texts with seeded mutations: what is read has one canonical text")
    func mutations() throws {
        var random = SeededGenerator(seed: 22)
        let letters = Array("0123456789abcdefF:.:.: g")
        for _ in 0..<20000 {
            var text = Array(
                ["192.168.0.2", "fd00::1:2", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8"].randomElement(using: &random) ?? "")
            for _ in 0..<Int.random(in: 0...3, using: &random) where !text.isEmpty {
                let index = text.indices.randomElement(using: &random) ?? 0
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text.remove(at: index)
                case 1: text.insert(letters.randomElement(using: &random) ?? "0", at: index)
                default: text[index] = letters.randomElement(using: &random) ?? "0"
                }
            }
            guard let address = IPAddress(String(text)) else { continue }
            #expect(IPAddress(address.description) == address, "\(String(text))")
        }
    }

    @Test(
        "ranges",
        arguments: [
            ("192.168.0.2", ["192.168.0.2"]),
            ("192.168.0.2-192.168.0.4", ["192.168.0.2", "192.168.0.3", "192.168.0.4"]),
            ("192.168.0.254-192.168.1.1", ["192.168.0.254", "192.168.0.255", "192.168.1.0", "192.168.1.1"]),
            ("192.168.0.2-3", ["192.168.0.2", "192.168.0.3"]), ("10.0.0.7-10.0.0.7", ["10.0.0.7"]),
            ("fd00::9-fd00::b", ["fd00::9", "fd00::a", "fd00::b"]),
        ]
    )
    func ranges(text: String, expected: [String]) throws {
        #expect(try [IPAddress](range: text).map(\.description) == expected)
    }

    @Test(
        "what is no range",
        arguments: [
            ("", "\"\" is not an address, one as 192.168.0.2 or a range as 192.168.0.2-192.168.0.5 was expected"),
            ("-", "\"-\" is not a range of addresses, one as 192.168.0.2-192.168.0.5 or 192.168.0.2-5 was expected"),
            (
                "192.168.0.2-300",
                "\"192.168.0.2-300\" is not a range of addresses, one as 192.168.0.2-192.168.0.5 or 192.168.0.2-5 was expected"
            ),
            (
                "192.168.0.2-fd00::1",
                "\"192.168.0.2-fd00::1\" is not a range of addresses, one as 192.168.0.2-192.168.0.5 or 192.168.0.2-5 was expected"
            ),
            (
                "192.168.0.5-192.168.0.2",
                "the range \"192.168.0.5-192.168.0.2\" is backwards, 192.168.0.2-192.168.0.5 was expected"
            ),
            ("10.0.0.9-3", "the range \"10.0.0.9-3\" is backwards, 10.0.0.3-10.0.0.9 was expected"),
            (
                "10.0.0.0-10.0.16.0",
                "the range \"10.0.0.0-10.0.16.0\" has more than 4096 addresses, the most there may be"
            ),
            ("::-ffff::", "the range \"::-ffff::\" has more than 4096 addresses, the most there may be"),
        ]
    )
    func noRange(text: String, expected: String) {
        do throws(Failure) {
            _ = try [IPAddress](range: text)
            Issue.record("\(text) was taken for a range")
        } catch {
            #expect(error.kind == .invalidInput)
            #expect(error.what == expected)
        }
    }

    @Test("lists of ranges, as options have them")
    func lists() throws {
        #expect(
            try [IPAddress](ranges: "10.0.0.1,10.0.0.4-5,fd00::1").map(\.description)
                == ["10.0.0.1", "10.0.0.4", "10.0.0.5", "fd00::1"])
        #expect(try [IPAddress](range: "10.0.0.0-10.0.15.255").count == 4096)
        #expect(throws: Failure.self) { try [IPAddress](ranges: "") }
        #expect(throws: Failure.self) { try [IPAddress](ranges: "10.0.0.1,") }
        #expect(throws: Failure.self) { try [IPAddress](ranges: "10.0.0.0-10.0.15.255,10.1.0.0-10.1.15.255") }
    }
}

@Suite("networks")
struct NetworkTests {
    @Test(
        "parsing and printing",
        arguments: [
            "0.0.0.0/0", "10.244.0.0/16", "10.96.0.0/12", "192.168.1.128/25", "1.2.3.4/32", "::/0", "fd00:10::/56",
            "fd00::1/128",
        ])
    func printing(text: String) throws {
        #expect(try IPNetwork(text).description == text)
    }

    @Test(
        "what is no network",
        arguments: [
            "", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/8/8", "256.0.0.0/8", "10.0.0.00/8",
            "a.b.c.d/8", "10.0.0.0/+8", "10.0.0.0/-1", " 10.0.0.0/8", "10.0.0.0/008", "010.0.0.0/8", "10.0.0.0 /8",
            "fd00::/129", "fd00::/", "fd00::/08", "fd00::1/64", "10.0.0.0/1000",
        ]
    )
    func noNetwork(text: String) {
        #expect(throws: Failure.self) { try IPNetwork(text) }
    }

    @Test("an address within a network is told with the network")
    func hostBits() {
        do throws(Failure) {
            _ = try IPNetwork("10.244.3.0/16")
            Issue.record("an address was taken for a network")
        } catch {
            #expect(
                error.what == "\"10.244.3.0/16\" is an address in the network 10.244.0.0/16, the network was expected")
        }
    }

    @Test("addresses of a service network")
    func addresses() throws {
        let network = try IPNetwork("10.96.0.0/28")
        #expect(network.address(at: 0)?.description == "10.96.0.0")
        #expect(network.address(at: 1)?.description == "10.96.0.1")
        #expect(network.address(at: 15)?.description == "10.96.0.15")
        #expect(network.address(at: 16) == nil)
        #expect(try IPNetwork("0.0.0.0/0").address(at: .max)?.description == "255.255.255.255")
        #expect(try IPNetwork("255.255.255.255/32").address(at: 1) == nil)
        #expect(try IPNetwork("fd00:2::/112").address(at: 10)?.description == "fd00:2::a")
        #expect(try IPNetwork("::/0").address(at: .max)?.description == "::ffff:ffff")
        #expect(try IPNetwork("::/0").last.description == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
        let both = ClusterNetwork(pods: [], services: [try IPNetwork("fd00:2::/112"), try IPNetwork("10.96.0.0/28")])
        #expect(both.apiServerService?.description == "fd00:2::1")
        #expect(both.dnsService?.description == "fd00:2::a")
    }

    @Test("parts of a network are as many as their length lets them be")
    func parts() throws {
        let network = try IPNetwork("10.244.0.0/22")
        #expect(network.part(0, prefixLength: 24)?.description == "10.244.0.0/24")
        #expect(network.part(3, prefixLength: 24)?.description == "10.244.3.0/24")
        #expect(network.part(4, prefixLength: 24) == nil)
        #expect(network.part(0, prefixLength: 22) == network)
        #expect(network.part(1, prefixLength: 22) == nil)
        #expect(network.part(0, prefixLength: 21) == nil)
        #expect(network.part(0, prefixLength: 33) == nil)
        #expect(try IPNetwork("fd00:10::/48").part(65535, prefixLength: 64)?.description == "fd00:10:0:ffff::/64")
        #expect(try IPNetwork("fd00:10::/48").part(65536, prefixLength: 64) == nil)
        #expect(try IPNetwork("::/0").part(.max, prefixLength: 128)?.description == "::ffff:ffff/128")
        #expect(try IPNetwork("0.0.0.0/0").part(.max, prefixLength: 32)?.description == "255.255.255.255/32")
    }

    @Test("a length that a family does not have becomes the nearest one")
    func lengths() {
        #expect(IPNetwork(containing: IPAddress(v4: 1), prefixLength: 40).description == "0.0.0.1/32")
        #expect(IPNetwork(containing: IPAddress(v6: 1), prefixLength: 40).description == "::/40")
        #expect(IPNetwork(containing: IPAddress(v4: 1), prefixLength: -1).description == "0.0.0.0/0")
    }

    @Test("contains and overlaps agree with counting addresses one by one, in both families")
    func agreement() throws {
        var random = SeededGenerator(seed: 3)
        func address() -> IPAddress {
            let low = UInt32.random(in: 0..<64, using: &random)
            return Int.random(in: 0..<3, using: &random) > 0
                ? IPAddress(v4: 0x0a00_0000 | low) : IPAddress(v6: 0xfd << 120 | UInt128(low))
        }
        for _ in 0..<2000 {
            let networks = (0..<2).map { _ in
                let base = address()
                let bits = base.family.bits - Int.random(in: 0...6, using: &random)
                return IPNetwork(containing: base, prefixLength: bits)
            }
            let sets = networks.map { network in Set((0..<64).compactMap { network.address(at: $0) }) }
            #expect(networks[0].overlaps(networks[1]) == !sets[0].isDisjoint(with: sets[1]))
            let other = address()
            #expect(networks[0].contains(other) == sets[0].contains(other))
            #expect(sets[0].max() == networks[0].last)
            #expect(try IPNetwork(networks[0].description) == networks[0])
        }
    }
}
