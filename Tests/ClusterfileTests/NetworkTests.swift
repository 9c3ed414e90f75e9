import Clusterfile
import Report
import TestSupport
import Testing

@Suite("IPv4 networks")
struct NetworkTests {
    @Test(
        "parsing and printing",
        arguments: ["0.0.0.0/0", "10.244.0.0/16", "10.96.0.0/12", "192.168.1.128/25", "1.2.3.4/32"])
    func printing(text: String) throws {
        #expect(try IPv4Network(text).description == text)
    }

    @Test(
        "what is no network",
        arguments: [
            "", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/8/8", "256.0.0.0/8", "10.0.0.00/8",
            "a.b.c.d/8",
            "10.0.0.0/+8", "10.0.0.0/-1", " 10.0.0.0/8", "fd00::/8", "10.0.0.0/008", "010.0.0.0/8", "10.0.0.0 /8",
        ]
    )
    func noNetwork(text: String) {
        #expect(throws: Failure.self) { try IPv4Network(text) }
    }

    @Test("an address within a network is told with the network")
    func hostBits() {
        do throws(Failure) {
            _ = try IPv4Network("10.244.3.0/16")
            Issue.record("an address was taken for a network")
        } catch {
            #expect(
                error.what == "\"10.244.3.0/16\" is an address in the network 10.244.0.0/16, the network was expected")
        }
    }

    @Test("addresses of a service network")
    func addresses() throws {
        let network = try IPv4Network("10.96.0.0/28")
        #expect(network.address(at: 0)?.description == "10.96.0.0")
        #expect(network.address(at: 1)?.description == "10.96.0.1")
        #expect(network.address(at: 10)?.description == "10.96.0.10")
        #expect(network.address(at: 15)?.description == "10.96.0.15")
        #expect(network.address(at: 16) == nil)
        #expect(try IPv4Network("0.0.0.0/0").address(at: .max)?.description == "255.255.255.255")
        #expect(try IPv4Network("255.255.255.255/32").address(at: 1) == nil)
    }

    @Test("contains and overlaps agree with counting addresses one by one")
    func agreement() throws {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<2000 {
            let networks = (0..<2).map { _ in
                IPv4Network(
                    containing: IPv4Address(number: 0x0a00_0000 | UInt32.random(in: 0..<64, using: &random)),
                    prefixLength: Int.random(in: 26...32, using: &random)
                )
            }
            let sets = networks.map { network in Set((0..<UInt32(network.count)).compactMap(network.address(at:))) }
            #expect(networks[0].overlaps(networks[1]) == !sets[0].isDisjoint(with: sets[1]))
            let address = IPv4Address(number: 0x0a00_0000 | UInt32.random(in: 0..<64, using: &random))
            #expect(networks[0].contains(address) == sets[0].contains(address))
            #expect(try IPv4Network(networks[0].description) == networks[0])
        }
    }
}
