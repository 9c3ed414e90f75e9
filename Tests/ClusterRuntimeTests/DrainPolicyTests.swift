import Testing

@testable import ClusterRuntime

@Suite struct DrainPolicyTests {
    @Test func leavesPodsTheirOwnTime() {
        #expect(DrainPolicy().arguments == ["--timeout=600s"])
    }

    @Test func says() {
        #expect(DrainPolicy(gracePeriod: 0, timeout: 5).arguments == ["--grace-period=0", "--timeout=5s"])
    }
}
